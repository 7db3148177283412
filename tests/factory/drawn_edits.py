"""A little bank of edits without a renderer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.clip.styles import PHOTO
from factory.diffusion.shots import STYLED, Row


def drawn(seed: int, size_px: int, turn: int) -> tuple[np.ndarray, list[Row]]:
    """Stands in for the renderer: one shot, three photos and a painting whose pixels say which person they show."""
    pictures = np.full((4, size_px, size_px, 3), seed % 251, dtype=np.uint8)
    pictures[:, 0, 0] = np.arange(4)[:, None]
    base = Row(seed, 0, "aligned", 0, "", "", "", "male", "old", "light", "short", "grey", "none", 0.0, False)
    red = replace(base, kind="hair colour", value="red", before="grey", hair_colour="red")
    smile = replace(base, kind="smile", value="smiling", before="serious", smiling=True, smile=0.9)
    style = STYLED[turn % len(STYLED)]
    painted = replace(red, of=1, kind="style", value=style, before=PHOTO, style=style)
    return pictures, [base, red, smile, painted]
