"""The side of the frames of a video editor: that of the avatars in the same profile, so that scores can be compared."""

from __future__ import annotations

from emo_bench.methods.interface import Workspace, gpu_resolution_px

# Profile gpu takes the size of the capture.
SIZES_PX = {"smoke": 64, "cpu": 128, "paper": 512}


def clip_px(workspace: Workspace) -> int:
    """Return the side of the square frames in pixels, if no setting names another."""
    return SIZES_PX.get(workspace.profile) or gpu_resolution_px(workspace.capture_px)
