"""Krippendorff's alpha: how much raters agree beyond chance; ratings may be missing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(ratings: ArrayLike, level: Level = "ordinal") -> float:
    """Compute alpha from coincidences (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C to F).

    Args:
        ratings: ``[raters, units]``, NaN where a rater did not rate a unit.
        level: how two different values count: ``nominal`` all the same, ``ordinal`` by the ratings between them,
            ``interval`` by their squared difference.

    Returns:
        1 for full agreement, 0 for chance, below 0 for less than chance. NaN if no unit has two ratings, or if all
        ratings are the same value.
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
    # Ordinal: the number of ratings between the two values, and half of those at the two values.
    middle = np.cumsum(totals) - totals / 2
    return np.square(middle[:, None] - middle[None, :])
