"""Contact sheets: rows of pictures saved as one PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def save_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Save rows of equally large uint8 pictures ``[H, W, 3]`` as one PNG, atomically."""
    from PIL import Image

    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    temporary = path.with_name(path.name + ".part")
    Image.fromarray(sheet).save(temporary, format="PNG")
    os.replace(temporary, path)


def difference(a: np.ndarray, b: np.ndarray, gain: float = 3.0) -> np.ndarray:
    """Absolute difference of two uint8 pictures, amplified, uint8."""
    gap = np.abs(a.astype(np.float32) - b.astype(np.float32))
    return np.clip(gap * gain, 0, 255).astype(np.uint8)
