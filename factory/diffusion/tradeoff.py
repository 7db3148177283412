"""The chart of the two guidances: CLIP-D against the likeness of the source, as figure 8 of InstructPix2Pix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.files import replacing

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 640, 420, 56
TONES = ("#1b6ca8", "#c8553d", "#3a8f5c", "#8a5fa8", "#7a6a2a")
TICKS = 5

Range = tuple[float, float]


def write_tradeoff(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw one line for each image scale, along its text scales, as PNG.

    Args:
        path: the file.
        rows: ``text_scale``, ``image_scale``, ``clip_d`` and ``likeness`` of each pair of scales.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), "white")
    draw = ImageDraw.Draw(image)
    across, up = (_range([row[key] for row in rows]) for key in ("likeness", "clip_d"))
    _draw_axes(draw, across, up)
    for number, scale in enumerate(sorted({row["image_scale"] for row in rows})):
        line = sorted((row for row in rows if row["image_scale"] == scale), key=lambda row: row["text_scale"])
        tone = TONES[number % len(TONES)]
        points = [place(row["likeness"], row["clip_d"], across, up) for row in line]
        draw.line(points, fill=tone, width=2)
        for (x, y), row in zip(points, line, strict=True):
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=tone)
            draw.text((x + 5, y - 12), f"{row['text_scale']:g}", fill=tone)
        draw.text((WIDTH_PX - 150, 10 + 14 * number), f"image scale {scale:g}", fill=tone)
    with replacing(path) as temporary:
        image.save(temporary, "png")


def place(likeness: float, clip_d: float, across: Range, up: Range) -> tuple[float, float]:
    """Return where a point is drawn: x and y in px."""
    x = MARGIN_PX + (likeness - across[0]) / (across[1] - across[0]) * (WIDTH_PX - 2 * MARGIN_PX)
    y = HEIGHT_PX - MARGIN_PX - (clip_d - up[0]) / (up[1] - up[0]) * (HEIGHT_PX - 2 * MARGIN_PX)
    return x, y


def _draw_axes(draw: Any, across: Range, up: Range) -> None:
    for likeness, clip_d in zip(np.linspace(*across, TICKS), np.linspace(*up, TICKS), strict=True):
        x, y = place(float(likeness), float(clip_d), across, up)
        draw.line((x, HEIGHT_PX - MARGIN_PX, x, MARGIN_PX), fill="#dddddd")
        draw.line((MARGIN_PX, y, WIDTH_PX - MARGIN_PX, y), fill="#dddddd")
        draw.text((x - 12, HEIGHT_PX - MARGIN_PX + 6), f"{likeness:.2f}", fill="black")
        draw.text((12, y - 6), f"{clip_d:.2f}", fill="black")
    draw.text((MARGIN_PX, 10), "CLIP-D; numbers at the points are text scales", fill="black")
    draw.text((WIDTH_PX // 2 - 60, HEIGHT_PX - 22), "likeness of the source", fill="black")


def _range(values: Sequence[float]) -> Range:
    low, high = min(values), max(values)
    room = max(0.05 * (high - low), 1e-3)
    return low - room, high + room
