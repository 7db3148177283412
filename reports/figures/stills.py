"""Stills of a run for pages: evenly spread frames, JPEG files, and names of files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emo_bench.runs.finished import FinishedRun
from reports.figures.clips import read_panels

if TYPE_CHECKING:
    from PIL.Image import Image

FrameU8 = NDArray[np.uint8]


def spread_panels(run: FinishedRun, panel_px: int, count: int) -> tuple[list[int], list[FrameU8]]:
    """Positions of ``count`` evenly spaced held-out frames, and their panels as :func:`read_panels` returns them."""
    positions = sorted({int(p) for p in np.linspace(0, len(run.scores) - 1, count)})
    wanted = set(positions)
    return positions, [panels for n, panels in enumerate(read_panels(run, panel_px)) if n in wanted]


def apart(panels: Sequence[FrameU8]) -> list[list[FrameU8]]:
    """Cut panels that stand side by side: a list for each kind of panel, in order, each with a square a picture."""
    count = panels[0].shape[1] // panels[0].shape[0]
    return [list(kind) for kind in zip(*(np.split(row, count, axis=1) for row in panels), strict=True)]


def encode_jpeg(picture: Image, quality: int) -> bytes:
    """Encode a picture as a JPEG file."""
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=quality, optimize=True)
    return file.getvalue()


def file_name(words: str) -> str:
    """Make part of a file name of words: other characters than letters, digits, -, _ and . become a hyphen."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in words)
