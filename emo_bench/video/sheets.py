"""Contact sheets: rows of pictures saved as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emo_bench.files import replacing


def save_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Save rows of uint8 pictures ``[H, W, 3]`` of equal size as one PNG, atomically."""
    from PIL import Image

    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    with replacing(path) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")


def difference(a: np.ndarray, b: np.ndarray, gain: float = 3.0) -> np.ndarray:
    """Return the absolute difference of two uint8 pictures, amplified, uint8."""
    gap = np.abs(a.astype(np.float32) - b.astype(np.float32))
    return np.clip(gap * gain, 0, 255).astype(np.uint8)
