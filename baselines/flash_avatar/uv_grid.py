"""The places of Gaussians on the rig: one for each texel of a map of its texture coordinates."""

from __future__ import annotations

import numpy as np
import torch

from baselines.point_avatar.rig_surface import Attachment
from emo_bench.tracking.head_rig import HeadRig
from emo_bench.tracking.raycast import RayCaster


def uv_grid(rig: HeadRig, uv_px: int, device: str) -> Attachment:
    """Return the triangle and the barycentric weights at the centre of each texel that lies in a triangle.

    The map has all parts of the rig: head, neck, shoulders, eyes, the cavity of the mouth, and the tongue.

    Args:
        rig: the mesh.
        uv_px: side of the map.
        device: the device of the tensors.
    """
    corners = rig.face_uv.reshape(-1, 2)
    # Each triangle has corners of its own; seen from the origin, its texture coordinates are pixels of a picture.
    flat = np.concatenate((corners, np.ones((len(corners), 1), corners.dtype)), axis=1)
    triangles = np.arange(len(corners)).reshape(-1, 3)
    face, barycentric, _ = RayCaster(triangles).cast(flat, float(uv_px), (0.0, 0.0), uv_px)
    inside = face >= 0
    return Attachment(
        torch.from_numpy(face[inside].astype(np.int64)).to(device), torch.from_numpy(barycentric[inside]).to(device)
    )
