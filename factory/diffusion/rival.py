"""Compare the editor with ``styletransfer``: how far landmarks move at equal CLIP-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emo_bench.methods.reference_editors import open_editor
from emo_bench.progress import track_progress
from factory.clip.captions import held_out_style_captions
from factory.clip.evaluation import mean_embedding
from factory.clip.painters import FIXED
from factory.clip.styles import PHOTO
from factory.diffusion.landmarks import Finder, mean_distance_px
from factory.diffusion.wordings import instruction

STRENGTHS = (0.15, 0.3, 0.5, 0.75, 1.0)
"""Strengths of ``styletransfer``. Strength 0 is the source, with CLIP-D and F-LMD 0."""

Pictures = NDArray[np.uint8]
Rows = NDArray[np.float64]
Editor = Callable[[Pictures, Sequence[str]], Pictures]
"""Edits pictures uint8 ``[B, S, S, 3]``, each by its text."""


class Clip(Protocol):
    """What is used of `emo_bench.clip.model.ClipModel`."""

    def of_frames(self, frames: Any) -> Any:
        """Return unit embeddings ``[B, D]``."""

    def of_caption(self, caption: str) -> Any:
        """Return a unit embedding ``[D]``."""


def against_styletransfer(
    edit: Editor, model: Clip, find: Finder, people: Pictures, names: Sequence[str] = FIXED, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return, by style, CLIP-D and F-LMD of the editor, and the F-LMD of ``styletransfer`` at the same CLIP-D.

    The latter is interpolated over its strengths. Where ``styletransfer`` never has that CLIP-D, its F-LMD at its
    highest CLIP-D is given. ``names`` are styles that ``styletransfer`` paints by a network of their own.
    """
    rng = np.random.default_rng(seed)
    figures = {}
    before, embedded = [find(person) for person in people], model.of_frames(people)

    def measured(made: Pictures, told: Rows) -> tuple[float, float]:
        return clip_d(embedded, model.of_frames(made), told), mean_distance_px(find, before, made)

    with track_progress(len(names), "portraits-diffusion: styletransfer") as advance:
        for name in names:
            told = told_change(model, name)
            texts = [instruction("style", name, "", rng, held_out=True) for _ in people]
            own = edit(people, texts)
            size = {"style": FIXED.index(name), "size_px": people.shape[1]}
            points = [(0.0, 0.0)]
            for strength in STRENGTHS:
                editor = open_editor("styletransfer", {**size, "strength": strength})
                theirs = np.stack([editor.edit(person, "", 0) for person in people])
                points.append(measured(theirs, told))
            reached, moved_px = measured(own, told)
            figures[name] = {
                "clip_d": reached,
                "f_lmd_px": moved_px,
                "styletransfer_f_lmd_px": at_equal(reached, points),
                "styletransfer_highest_clip_d": max(point[0] for point in points),
            }
            advance()
    return figures


def told_change(model: Clip, name: str) -> Rows:
    """Return the mean change of embeddings ``[D]`` from captions of photos to those of a style, in held-out words."""
    before, after = (mean_embedding(model.of_caption, held_out_style_captions(style)) for style in (PHOTO, name))
    return after - before


def clip_d(sources: Rows, made: Rows, told: Rows) -> float:
    """Return the mean cosine between what changed in the pictures and what changed in the caption.

    Args:
        sources, made: embeddings of the pictures before and after, ``[N, D]``.
        told: the change of the caption's embedding, ``[D]``.
    """
    moved = made - sources
    sizes = np.maximum(np.linalg.norm(moved, axis=1) * np.linalg.norm(told), 1e-9)
    return float((moved @ told / sizes).mean())


def at_equal(wanted: float, points: Sequence[tuple[float, float]]) -> float:
    """Interpolate the second number of ``points`` where the first is ``wanted``.

    Points whose first number is below that of an earlier point are left out. Beyond the last point, its value is given.
    """
    kept: list[tuple[float, float]] = []
    for point in points:
        if np.isfinite(point[1]) and (not kept or point[0] > kept[-1][0]):
            kept.append(point)
    firsts, seconds = zip(*kept, strict=True)
    return float(np.interp(wanted, firsts, seconds))
