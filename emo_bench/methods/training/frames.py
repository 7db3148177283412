"""Training frames in memory, and the conversion between pictures and tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from emo_bench.actors.capture import Capture


class TrainingFrames:
    """The training frames of an image network, read once and kept in memory.

    Args:
        capture: a capture in which at least ``indices`` are readable.
        indices: the training frames.
        size_px: side in pixels to which the frames are resized.

    Attributes:
        indices: ``[N]`` int64, the given training frames.

    Example::

        frames = TrainingFrames(capture, evenly_spaced(train, 1000), 128)
        rows = rng.integers(len(frames), size=8)
        images = frames.images(rows)  # [8, 3, 128, 128] in [-1, 1]
        expression = capture.track.expression[frames.indices[rows]]
    """

    def __init__(self, capture: Capture, indices: Sequence[int] | np.ndarray, size_px: int) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        self._frames = np.empty((len(self.indices), 3, size_px, size_px), dtype=np.uint8)
        for row, frame in enumerate(capture.frames(self.indices, size=size_px)):
            self._frames[row] = frame.transpose(2, 0, 1)

    def __len__(self) -> int:
        return len(self.indices)

    def images(self, rows: Sequence[int] | np.ndarray, device: str = "cpu") -> Tensor:
        """Return the frames ``[B, 3, S, S]`` in [-1, 1] at the given positions in ``indices``."""
        return to_unit_range(self._frames[np.asarray(rows)]).to(device)


def evenly_spaced(indices: Sequence[int], limit: int) -> np.ndarray:
    """Return at most ``limit`` of ``indices``, evenly spaced, as int64."""
    array = np.asarray(indices, dtype=np.int64)
    if len(array) <= limit:
        return array
    return array[np.linspace(0, len(array) - 1, limit).round().astype(np.int64)]


def to_unit_range(images_u8: np.ndarray | Tensor) -> Tensor:
    """Convert uint8 of any shape, 0 to 255, to float32 in [-1, 1]."""
    return torch.as_tensor(images_u8).float().div_(127.5).sub_(1.0)


def to_frames_u8(images: Tensor) -> np.ndarray:
    """Convert ``[B, 3, H, W]`` in [-1, 1] to uint8 ``[B, H, W, 3]``, rounded and clipped."""
    scaled = ((images.float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def median_background(pictures: np.ndarray, covered: np.ndarray, unknown: float) -> np.ndarray:
    """Return each pixel's median over its uncovered frames; an always covered pixel gets the nearest known value.

    Args:
        pictures: ``[N, H, W, 3]`` float32, which is overwritten.
        covered: ``[N, H, W]`` bool.
        unknown: the value of every pixel if all pixels are always covered.

    Returns:
        ``[H, W, 3]`` float32.
    """
    from scipy import ndimage

    pictures[covered] = np.nan
    always = covered.all(axis=0)
    pictures[:, always] = 0.0
    plate = np.nanmedian(pictures, axis=0)
    if always.all():
        return np.full_like(plate, unknown)
    rows, columns = ndimage.distance_transform_edt(always, return_distances=False, return_indices=True)
    return np.asarray(plate[rows, columns], dtype=np.float32)
