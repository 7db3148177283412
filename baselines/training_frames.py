"""Training frames in memory, and pictures to tensors and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from emo_bench.actors.capture import Capture


class TrainingFrames:
    """The training frames of an image network, read once.

    Args:
        capture: in which at least ``indices`` are readable.
        indices: of the frames.
        size_px: side to which they are resized.
    """

    def __init__(self, capture: Capture, indices: Sequence[int] | np.ndarray, size_px: int) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        self._frames = np.empty((len(self.indices), 3, size_px, size_px), dtype=np.uint8)
        for row, frame in enumerate(capture.frames(self.indices, size=size_px)):
            self._frames[row] = frame.transpose(2, 0, 1)

    def __len__(self) -> int:
        return len(self.indices)

    def images(self, rows: np.ndarray, device: str = "cpu") -> Tensor:
        """Frames ``[B, 3, S, S]`` in [-1, 1] by their place in ``indices``."""
        return to_unit_range(torch.from_numpy(self._frames[rows])).to(device)


def to_unit_range(images_u8: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return images_u8.float().div_(127.5).sub_(1.0)


def to_frames_u8(images: Tensor) -> np.ndarray:
    """``[B, 3, H, W]`` in [-1, 1] to uint8 ``[B, H, W, 3]``, rounded and clipped."""
    scaled = ((images.float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
