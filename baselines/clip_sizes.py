"""The side of the frames of a video editor: that of the avatars in the same profile, so that scores can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emo_bench.methods.interface import Workspace, gpu_resolution_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Profile gpu takes the size of the capture.
SIZES_PX = {"smoke": 64, "cpu": 128, "paper": 512}


def clip_px(workspace: Workspace) -> int:
    """Return the side of the square frames in pixels, if no setting names another."""
    return SIZES_PX.get(workspace.profile) or gpu_resolution_px(workspace.capture_px)


def resized_frames(frames_u8: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Bring square frames ``uint8 [N, S, S, 3]`` to a side: larger ones are averaged, smaller ones are smooth."""
    from PIL import Image

    if frames_u8.shape[1] == side_px:
        return frames_u8
    how = Image.Resampling.BOX if frames_u8.shape[1] > side_px else Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize((side_px, side_px), how)) for frame in frames_u8])
