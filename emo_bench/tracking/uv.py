"""UV maps: the rig's texture coordinate of the surface visible in each pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from emo_bench.tracking.head_rig import HeadRig
    from emo_bench.tracking.raycast import RayCaster


@lru_cache(maxsize=4)
def _caster(rig: HeadRig) -> RayCaster:
    from emo_bench.tracking.raycast import RayCaster

    return RayCaster(rig.faces)


def rasterise_uv(
    rig: HeadRig, vertices: np.ndarray, focal_px: float, center_px: tuple[float, float], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise one posed head, neck and shoulders.

    Args:
        rig: the rig with triangles and texture coordinates.
        vertices: ``[V, 3]`` float32 metres, camera space.
        focal_px, center_px: the camera at ``size`` (all three numbers scale with the picture size).
        size: pixels of the square map.

    Returns:
        Texture coordinates ``[size, size, 2]`` float16 in [0, 1], zero off the surface, and the mask of the
        surface ``[size, size]`` bool.
    """
    face, barycentric, _ = _caster(rig).cast(vertices, focal_px, center_px, size)
    mask = face >= 0
    uv = np.zeros((size, size, 2), dtype=np.float16)
    corners = rig.face_uv[face[mask]]
    uv[mask] = np.clip(np.einsum("nc,ncd->nd", barycentric[mask], corners), 0.0, 1.0)
    return uv, mask
