"""The square of a video that holds head and shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The square for head and shoulders around the landmarks' box, in heights of that box.
ABOVE, BESIDE, BELOW, LEAST_SIDE = 0.45, 0.75, 0.85, 2.3
MOTION_PERCENTILES = (3.0, 97.0)


@dataclass(frozen=True)
class Crop:
    """A square of the picture: left edge, top edge and side in px."""

    left: int
    top: int
    side: int

    def to_crop(self, points: np.ndarray, size_px: int) -> np.ndarray:
        """Convert picture coordinates ``[..., 2]`` to coordinates in the crop resized to ``size_px``."""
        return (points - np.array((self.left, self.top))) * (size_px / self.side)

    def cut(self, frame_u8: np.ndarray) -> np.ndarray:
        """Return the crop ``[side, side, 3]`` of a frame."""
        return frame_u8[self.top : self.top + self.side, self.left : self.left + self.side]


def head_and_shoulders(boxes: np.ndarray, width: int, height: int) -> Crop:
    """Return one static square that holds head and shoulders in all frames, within the limits of the picture.

    Args:
        boxes: ``[N, 4]`` px, the landmarks' left, top, right, bottom in each frame.
    """
    face = float(np.median(boxes[:, 3] - boxes[:, 1]))
    low, high = np.percentile(boxes, MOTION_PERCENTILES, axis=0)
    left, right = low[0] - BESIDE * face, high[2] + BESIDE * face
    top, bottom = low[1] - ABOVE * face, high[3] + BELOW * face
    side = int(min(max(right - left, bottom - top, LEAST_SIDE * face), width, height)) // 2 * 2
    x = (left + right - side) / 2
    # The whole head must be inside; if the square is too small for both, the shoulders are cut off.
    y = top if bottom - top >= side else (top + bottom - side) / 2
    return _in_picture(x, y, side, width, height)


def square_around(box: tuple[float, float, float, float], scale: float, width: int, height: int) -> Crop:
    """Return the square around the middle of a box ``(left, top, right, bottom)``, moved into the picture.

    Args:
        scale: side of the square in longest sides of the box; the square is never larger than the picture.
    """
    left, top, right, bottom = box
    side = int(min(max(scale * max(right - left, bottom - top), 2), width, height))
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return _in_picture(x, y, side, width, height)


def _in_picture(x: float, y: float, side: int, width: int, height: int) -> Crop:
    """Return the square at (x, y), rounded and moved into the picture."""
    return Crop(int(np.clip(round(x), 0, width - side)), int(np.clip(round(y), 0, height - side)), side)
