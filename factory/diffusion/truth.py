"""Edits beside the studio's own picture of the same change: pixels, the small CLIP's word, and landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.clip.model import ClipModel
from factory.clip import captions
from factory.clip.evaluation import accuracy, classifier
from factory.diffusion.autoencoder import psnr_db
from factory.diffusion.bank import Bank
from factory.diffusion.landmarks import Finder, distances_px
from factory.diffusion.pairs import Edit, edits_of
from factory.diffusion.rival import Editor
from factory.diffusion.wordings import instruction

KEEPING = (
    "bronze", "gold", "silver", "marble", "granite", "terracotta", "black-and-white", "comic", "hdr", "airbrush",
)  # fmt: skip
"""Styles that keep the drawing, so that landmarks should stay."""
CHANGED_ABOVE = 16
"""A pixel belongs to a change if one of its channels differs by more in the studio's picture, of 255."""
RECOGNISED = {"hair colour": captions.COLOURS, "beard": ("full beard", "none"), "smile": ("smiling", "serious")}
"""Changes that the small CLIP has words for, and their values."""

Pictures = NDArray[np.uint8]


def change_figures(edit: Editor, bank: Bank, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Return by kind of change how near edits are to the studio's rendering of it, beside doing nothing.

    ``psnr_db`` is over whole pictures. ``changed_psnr_db`` is over the pixels that the studio's change alters, where an
    edit has to do something, and ``kept_psnr_db`` compares the edit with its source over all others. ``nearer`` is the
    share of edits that are nearer to the truth than the source is, over the altered pixels.
    """
    rng = np.random.default_rng(seed)
    figures = {}
    for kind, several in edits_of(bank, held_out=True).items():
        if kind in ("style", "none") or not several:
            continue
        chosen = [several[int(k)] for k in rng.permutation(len(several))[:count]]
        sources, truth, made = _edited(edit, bank, kind, chosen, rng)
        altered = np.abs(truth.astype(int) - sources).max(axis=3) > CHANGED_ABOVE
        by_edit, by_nothing = region_psnr_db(made, truth, altered), region_psnr_db(sources, truth, altered)
        figures[kind] = {
            "psnr_db": float(psnr_db(made, truth).mean()),
            "psnr_of_nothing_db": float(psnr_db(sources, truth).mean()),
            "changed_psnr_db": float(np.nanmean(by_edit)),
            "changed_psnr_of_nothing_db": float(np.nanmean(by_nothing)),
            "kept_psnr_db": float(np.nanmean(region_psnr_db(made, sources, ~altered))),
            "nearer": float((by_edit > by_nothing)[~np.isnan(by_edit)].mean()),
            "count": float(len(chosen)),
        }
    return figures


def region_psnr_db(pictures: Pictures, others: Pictures, region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the PSNR of each picture over the pixels of its region ``[B, S, S]``; NaN where a region is empty."""
    error = ((pictures.astype(np.float64) - others) ** 2).mean(axis=3)
    inside = region.sum(axis=(1, 2))
    mean = np.where(region, error, 0.0).sum(axis=(1, 2)) / np.maximum(inside, 1)
    return np.where(inside > 0, 10.0 * np.log10(255.0**2 / np.maximum(mean, 1e-9)), np.nan)


def recognised_figures(edit: Editor, model: ClipModel, bank: Bank, count: int, seed: int) -> dict[str, Any]:
    """Return for each of `RECOGNISED` the zero-shot accuracy on edits, and on the studio's pictures of the change.

    ``count`` edits of each value have wordings that training never saw. ``of_source`` is the share of sources that CLIP
    takes for the value asked for.
    """
    rng = np.random.default_rng(seed)
    edits, figures = edits_of(bank, held_out=True), {}
    for kind, values in RECOGNISED.items():
        of_value = [[one for one in edits[kind] if one.value == value] for value in values]
        chosen = [some[int(k)] for some in of_value for k in rng.permutation(len(some))[:count]]
        if not chosen:
            continue
        sources, truth, made = _edited(edit, bank, kind, chosen, rng)
        classes = {value: classifier(model, _captions(kind, value)) for value in values}
        asked = [one.value for one in chosen]
        found = [accuracy(model.of_frames(pictures), classes, asked) for pictures in (made, truth, sources)]
        figures[kind] = {
            "balanced": found[0].balanced, "of_truth": found[1].balanced, "of_source": found[2].balanced,
            "by_class": found[0].by_class, "count": len(chosen),
        }  # fmt: skip
    return figures


def landmark_figures(edit: Editor, bank: Bank, find: Finder, count: int, seed: int) -> dict[str, float]:
    """Return how far the 68 landmarks move from source to edit, in px at 256 px, for styles that keep the drawing.

    ``of_truth_px`` is the same for the studio's own picture in the style, which has the source's very geometry: it is
    what the detector errs. Pictures in which MediaPipe finds no face are left out; ``found`` is the share of the rest.
    """
    rng = np.random.default_rng(seed)
    styled = edits_of(bank, held_out=True)["style"]
    distances: list[float] = []
    of_truth: list[float] = []
    tried = 0
    for style in KEEPING:
        chosen = [one for one in styled if one.value == style][:count]
        if not chosen:
            continue
        sources, truth, made = _edited(edit, bank, "style", chosen, rng)
        before = [find(one) for one in sources]
        tried += len(chosen)
        distances += distances_px(find, before, made)
        of_truth += distances_px(find, before, truth)
    return {
        "f_lmd_px": _mean(distances), "median_px": _median(distances),
        "of_truth_px": _mean(of_truth), "median_of_truth_px": _median(of_truth),
        "found": len(distances) / max(tried, 1),
    }  # fmt: skip


def _edited(
    edit: Editor, bank: Bank, kind: str, chosen: Sequence[Edit], rng: np.random.Generator
) -> tuple[Pictures, Pictures, Pictures]:
    """Return the sources, the studio's results and the edits by wordings that training never saw."""
    sources = bank.pictures(np.array([one.source for one in chosen]))
    truth = bank.pictures(np.array([one.result for one in chosen]))
    texts = [instruction(kind, one.value, bank.rows[one.source].sex, rng, held_out=True) for one in chosen]
    return sources, truth, edit(sources, texts)


def _captions(kind: str, value: str) -> list[str]:
    if kind == "hair colour":
        return captions.held_out_hair_captions(value)
    if kind == "smile":
        return captions.held_out_smile_captions(value == "smiling")
    return captions.held_out_beard_captions(value != "none")


def _mean(distances: Sequence[float]) -> float:
    return float(np.mean(distances)) if distances else float("nan")


def _median(distances: Sequence[float]) -> float:
    return float(np.median(distances)) if distances else float("nan")
