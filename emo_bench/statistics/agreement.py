"""Krippendorff's alpha: how far raters agree beyond chance, with missing ratings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(ratings: ArrayLike, level: Level = "ordinal") -> float:
    """Alpha by coincidences (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C to F).

    Args:
        ratings: ``[raters, units]``, NaN where a rater did not rate a unit.
        level: how far two values differ: at all, by the ranks between them, or by their squared difference.

    Returns:
        1 for full agreement, 0 for what chance gives, below 0 for less; NaN where no two ratings of a unit can be
        compared, or where all ratings are one value.
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"ratings are {values.ndim}-dimensional, not [raters, units]")
    levels = np.unique(values[~np.isnan(values)])
    counts = np.stack([(values == value).sum(axis=0) for value in levels], axis=1) if levels.size else np.empty((0, 0))
    counts = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    if not counts.size:
        return float("nan")
    raters = counts.sum(axis=1)[:, None, None]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(levels))
    coincidences = (pairs / (raters - 1)).sum(axis=0)
    totals = coincidences.sum(axis=1)
    distance = _distances(levels, totals, level)
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    if expected == 0:
        return float("nan")
    return float(1 - (coincidences * distance).sum() / expected)


def _distances(levels: NDArray[np.float64], totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    """Squared differences between values ``[V, V]``."""
    if level == "nominal":
        return 1.0 - np.eye(len(levels))
    if level == "interval":
        return np.square(levels[:, None] - levels[None, :])
    # Ordinal: ratings in and between the two values, the two themselves by half.
    middle = np.cumsum(totals) - totals / 2
    return np.square(middle[:, None] - middle[None, :])
