"""Confidence intervals of means over frames; neighbouring frames are similar, so they count for less than their number.

An interval is withheld, with its reason, where the frames cannot tell how uncertain their mean is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_bench.statistics.persistence import MeanError, mean_error

FEWEST_FRAMES = 12
FEWEST_EFFECTIVE = 1.75
# Scores that differ by less than this share of the largest differ by rounding only.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    Attributes:
        mean: mean over the frames that have a score; NaN if there is none.
        low, high: ends of the interval; NaN if it is withheld.
        n: number of frames that have a score.
        n_effective: the number of independent frames whose mean would be as uncertain; NaN if it is not known.
        level: confidence level.
        withheld: why there is no interval; empty if there is one.
    """

    mean: float
    low: float
    high: float
    n: int
    n_effective: float
    level: float
    withheld: str = ""


def mean_interval(scores: Sequence[float] | NDArray[np.float64], *, level: float = 0.95) -> Interval:
    """The interval of a mean over similar neighbouring frames, see :func:`emo_bench.statistics.persistence.mean_error`.

    Args:
        scores: `[N]`, one for each frame in frame order. Undefined scores (NaN) are left out.
        level: confidence level.

    Returns:
        The mean and its interval. The interval is withheld if an infinite score makes the mean infinite, if fewer than
        12 frames have a score, or if the frames are worth fewer than 1.75 independent ones.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    with np.errstate(invalid="ignore"):
        mean = float(values.mean()) if n else math.nan
    reason, error = uncertainty(values)
    if reason:
        effective = math.nan if error is None else error.n_effective
        return Interval(mean, math.nan, math.nan, n, effective, level, reason)
    half, effective = (0.0, float(n)) if error is None else (error.half_width(level), error.n_effective)
    return Interval(mean, mean - half, mean + half, n, effective, level)


def uncertainty(values: NDArray[np.float64]) -> tuple[str, MeanError | None]:
    """Why the mean of ``[N]`` defined scores has no interval, or its error; no error means that all are the same."""
    n = len(values)
    low, high = (float(values.min()), float(values.max())) if n else (0.0, 0.0)
    if math.isinf(low) or math.isinf(high):
        return "a score is infinite", None
    if n < FEWEST_FRAMES:
        return f"frames with a score: {n}; an interval needs at least {FEWEST_FRAMES}", None
    if high - low <= ROUNDING * max(-low, high):
        return "", None
    error = mean_error(values)
    if error.n_effective < FEWEST_EFFECTIVE:
        worth = f"the {n} frames are worth fewer than {FEWEST_EFFECTIVE} independent ones"
        reason = f"the scores of neighbouring frames are so similar that {worth}"
        return reason, error
    return "", error
