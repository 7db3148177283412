"""Names and writing of the pictures of an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def frame_name(index: int) -> str:
    """Return the file name of a frame, e.g. ``000012.png``: its number in the video."""
    return f"{index:06d}.png"


def write_picture(path: Path, picture_u8: np.ndarray) -> None:
    """Write uint8 ``[S, S, 3]`` RGB or ``[S, S]`` grey as PNG."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture_u8)).save(path, compress_level=1)
