"""How frames are prepared before they are scored: another background, another size."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import FramesU8, Masks

Background = Literal["as filmed", "white", "black"]
LEVELS = {"white": 255, "black": 0}


def lay_on(frames: FramesU8, masks: Masks, background: Background) -> FramesU8:
    """Replace the pixels outside the masks ``[B, H, W]`` by a flat background; "as filmed" changes nothing."""
    if background == "as filmed":
        return frames
    level = np.uint8(LEVELS[background])
    laid: FramesU8 = np.where(masks[..., None], frames, level)
    return laid


def blended(frames: NDArray[Any], mattes: NDArray[Any], background: Background) -> NDArray[np.float64]:
    """Blend frames with a flat background, not "as filmed", by soft mattes; the result has fractions of levels.

    Args:
        frames: ``[B, H, W, 3]``, 0 to 255, uint8 or float.
        mattes: ``[B, H, W]``, 0 (background) to 255 (person), uint8 or float.
        background: the background behind the person.
    """
    level = LEVELS[background] / 255.0
    alpha = np.asarray(mattes, dtype=np.float64)[..., None] / 255.0
    # In this order, because rounding down shows the last bit.
    return (np.asarray(frames, dtype=np.float64) / 255.0 * alpha + level * (1.0 - alpha)) * 255.0


def resized(frames: NDArray[Any], size_px: int, resize_filter: str) -> NDArray[Any]:
    """Resize frames ``[B, H, W, ...]`` to ``[B, size_px, size_px, ...]``; frames that are not square are squeezed.

    Frames with the right *width* stay as they are, as in PointAvatar's and IMavatar's code. The type of the numbers
    stays.
    """
    from emo_bench.system import opencv as cv2

    if frames.shape[2] == size_px:
        return frames
    how = cv2.INTER_AREA if resize_filter == "area" and frames.shape[2] > size_px else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (size_px, size_px), interpolation=how) for frame in frames])


def rounded(frames: NDArray[Any]) -> FramesU8:
    """Return frames in whole levels; uint8 frames are returned as they are."""
    return frames if frames.dtype == np.uint8 else np.rint(frames).clip(0, 255).astype(np.uint8)
