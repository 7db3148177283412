"""Names and writing of the pictures of an export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.progress import track_progress


def frame_name(index: int) -> str:
    """Return the file name of a frame, e.g. ``000012.png``: its number in the video."""
    return f"{index:06d}.png"


def write_picture(path: Path, picture_u8: np.ndarray) -> None:
    """Write uint8 ``[S, S, 3]`` RGB or ``[S, S]`` grey as PNG."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture_u8)).save(path, compress_level=1)


def write_frames_and_masks(capture: Capture, indices: Sequence[int], frames: Path, masks: Path, size_px: int) -> None:
    """Write frames and the person's masks (255 on the person) as PNG, named by :func:`frame_name`, into two folders."""
    for folder in (frames, masks):
        folder.mkdir(parents=True, exist_ok=True)
    with track_progress(len(indices), "export") as advance:
        for i, frame in zip(indices, capture.frames(indices, size=size_px), strict=True):
            write_picture(frames / frame_name(i), frame)
            write_picture(masks / frame_name(i), capture.track.foreground(i, size_px).astype(np.uint8) * 255)
            advance()
