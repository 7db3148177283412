"""Labelled rows of pictures, as in the figures of papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emo_bench.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = NDArray[np.uint8]

TILE_PX = 128
LABEL_PX = 190
GROUND, INK = (255, 255, 255), (20, 20, 20)


@dataclass(frozen=True)
class Strip:
    """A row of a figure: a label and pictures ``uint8 [S, S, 3]``."""

    label: str
    pictures: list[Picture]


def draw_strips(strips: Sequence[Strip], headings: Sequence[str] = ()) -> Image:
    """Draw labelled rows of pictures below headings; small pictures are enlarged so that they are visible."""
    from PIL import Image, ImageDraw, ImageFont

    side = max(TILE_PX, strips[0].pictures[0].shape[0])
    columns = max(len(strip.pictures) for strip in strips)
    top = 26 if headings else 4
    figure = Image.new("RGB", (LABEL_PX + columns * side, top + len(strips) * (side + 4)), GROUND)
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(size=15)
    for column, heading in enumerate(headings):
        draw.text((LABEL_PX + column * side + side // 2, 4), heading, INK, font, anchor="ma")
    for row, strip in enumerate(strips):
        y = top + row * (side + 4)
        draw.multiline_text((8, y + side // 2), _broken(strip.label), INK, font, anchor="lm")
        for column, picture in enumerate(strip.pictures):
            tile = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
            figure.paste(tile, (LABEL_PX + column * side, y))
    return figure


def save_strips(path: Path, strips: Sequence[Strip], headings: Sequence[str] = ()) -> None:
    """Save the result of :func:`draw_strips` as a PNG, written atomically."""
    buffer = BytesIO()
    draw_strips(strips, headings).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def _broken(label: str, width: int = 22) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(label, width))
