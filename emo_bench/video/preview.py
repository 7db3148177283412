"""The preview video for visual inspection: labelled pictures side by side, the last two of them with a difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.video.writing import H264, FrameU8, VideoWriter

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont


DIFFERENCE_GAIN = 4.0
EDIT_GAIN = 0.5
"""An edit and another person are meant to differ: nothing of the difference is cut off."""
# As large as with x264's default preset, in half of the time.
FAST_H264 = replace(H264, options={**H264.options, "preset": "veryfast"})
LABELS = ("source", "ours")
PANEL_PX = 256
LABEL_PX = 28


class PreviewWriter(VideoWriter):
    """Writes an H.264 MP4 with one picture per held-out frame.

    It has a panel for each label and one for the difference of the last two. Small frames are enlarged by a whole
    factor. The difference is multiplied by ``gain`` and added to mid-grey, so that grey means equal.
    """

    def __init__(
        self, path: Path, title: str, fps: float, gain: float = DIFFERENCE_GAIN, labels: Sequence[str] = LABELS
    ) -> None:
        super().__init__(path, FAST_H264, fps)
        self._title, self._gain = title, gain
        self._labels = (*labels, f"{labels[-1]} - {labels[-2]}, x{gain:g}")
        self._header: FrameU8 | None = None

    def add(self, *frames: FrameU8) -> None:
        """Append a picture made from a frame uint8 ``[R, R, 3]`` for each label."""
        self.write(self.picture(*frames))

    def picture(self, *frames: FrameU8) -> FrameU8:
        """Draw one picture of the video: header and panels, with even width and height."""
        source, ours = frames[-2:]
        gap = (ours.astype(np.int16) - source.astype(np.int16)) * self._gain + 128
        panels = [*frames, np.clip(gap, 0, 255).astype(np.uint8)]
        scale = max(1, -(-PANEL_PX // source.shape[0]))
        row = np.concatenate([panel.repeat(scale, 0).repeat(scale, 1) for panel in panels], axis=1)
        row = row[: row.shape[0] // 2 * 2, : row.shape[1] // 2 * 2]
        if self._header is None:
            self._header = _header(row.shape[1], self._title, self._labels)
        return np.concatenate([self._header, row])


def _header(width: int, title: str, labels: Sequence[str]) -> FrameU8:
    """Draw two lines of text ``[2 * LABEL_PX, width, 3]``: the title, and a label over each panel."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, 2 * LABEL_PX), "black")
    draw = ImageDraw.Draw(image)
    font = _font()
    middle = LABEL_PX / 2
    draw.text((width / 2, middle), title, fill="white", anchor="mm", font=font)
    for i, label in enumerate(labels):
        draw.text(
            (width * (2 * i + 1) / (2 * len(labels)), LABEL_PX + middle), label, fill="white", anchor="mm", font=font
        )
    return np.asarray(image)


def _font() -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size=LABEL_PX // 2)
