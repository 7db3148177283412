"""Square frames brought to another side, by the one rule of all editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resized_frames(frames_u8: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Bring square frames ``uint8 [N, S, S, 3]`` to a side: larger ones are averaged, smaller ones are smooth."""
    from PIL import Image

    if frames_u8.shape[1] == side_px:
        return frames_u8
    how = Image.Resampling.BOX if frames_u8.shape[1] > side_px else Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize((side_px, side_px), how)) for frame in frames_u8])
