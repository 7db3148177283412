"""Pictures that bring their own matte: their colours, also where they are transparent, and their alpha."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emo_bench.pictures.reading import FrameU8, Layers, read_layers
from emo_bench.video.frame_source import FrameSource


def has_matte(source: FrameSource) -> bool:
    """Return whether the first picture of the source has an alpha; frames of a video have none."""
    return bool(source.files) and read_layers(source.files[0]).alpha is not None


def colours_of(source: FrameSource) -> FrameSource:
    """Return the pictures' colours ``[H, W, 3]`` uint8 as they are stored, not composited on black."""
    return replace(source, open=lambda: (layers.colour for layers in _layers(source)))


def without_alpha(source: FrameSource) -> FrameSource:
    """Return the pictures' stored colours with a note if they have an alpha; else the source itself."""
    if not has_matte(source):
        return source
    colours = colours_of(source)
    colours.notes.append(f"the alpha of {source.title} is not used: the code scores the colours alone")
    return colours


def mattes_of(source: FrameSource) -> FrameSource:
    """Return the pictures' alpha as frames ``[H, W, 3]`` uint8 with equal channels; opaque pictures have 255."""

    def mattes() -> Iterator[FrameU8]:
        for layers in _layers(source):
            alpha = np.full(layers.colour.shape[:2], 255, np.uint8) if layers.alpha is None else layers.alpha
            yield np.repeat(alpha[..., None], 3, axis=2)

    note = f"the alpha of {source.title} is the mask of the person"
    return replace(source, open=mattes, notes=[note])


def _layers(source: FrameSource) -> Iterator[Layers]:
    return map(read_layers, source.files)
