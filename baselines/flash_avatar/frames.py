"""The training frames of FlashAvatar in memory: pictures, masks, the mouth, and what moves the Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from baselines.camera import camera_at
from baselines.hull import mouth_triangles
from baselines.point_avatar.rig_surface import FrameDrive, frame_drive
from emo_bench.actors.capture import Capture
from emo_bench.progress import track_progress
from emo_bench.tracking.head_rig import HeadRig
from emo_bench.tracking.raycast import RayCaster


@dataclass(frozen=True)
class Shown:
    """A frame: ``picture [S, S, 3]`` in [0, 1], ``mask [S, S]`` and ``mouth [S, S]`` 0 or 1, and its ``drive``."""

    picture: Tensor
    mask: Tensor
    mouth: Tensor
    drive: FrameDrive


class FlashFrames:
    """Training frames; the mouth is where the tracked mesh shows lips, tongue or the cavity behind them.

    Args:
        capture: a capture in which ``indices`` are readable.
        indices: training frames.
        rig: the mesh.
        size_px: side of the pictures.
        device: the device of the tensors.
    """

    def __init__(self, capture: Capture, indices: Sequence[int], rig: HeadRig, size_px: int, device: str) -> None:
        self.indices = [int(i) for i in indices]
        track, self._device = capture.track, device
        self._pictures = np.stack(list(capture.frames(self.indices, size=size_px)))
        self._masks = np.stack([track.foreground(i, size_px) for i in self.indices])
        self._mouths = np.zeros_like(self._masks)
        self._drives: list[FrameDrive] = []
        caster, camera = RayCaster(rig.faces), camera_at(track, size_px)
        mouth = mouth_triangles(rig, track.head.rest_vertices)
        with track_progress(len(self.indices), "flash-avatar: training frames") as advance:
            for row, index in enumerate(self.indices):
                face, _, _ = caster.cast(track.vertices(index), camera.focal_px, camera.center_px, size_px)
                self._mouths[row] = (face >= 0) & mouth[face]
                drive = frame_drive(rig, track, index, device)
                # The posed mesh is large, and nothing here needs it.
                self._drives.append(replace(drive, vertices=drive.vertices[:0]))
                advance()

    def __len__(self) -> int:
        return len(self.indices)

    def row(self, row: int) -> Shown:
        """Return the frame at a position in ``indices``."""
        picture = torch.from_numpy(self._pictures[row].astype(np.float32) / 255.0)
        mask, mouth = (torch.from_numpy(masks[row].astype(np.float32)) for masks in (self._masks, self._mouths))
        return Shown(picture.to(self._device), mask.to(self._device), mouth.to(self._device), self._drives[row])
