"""Resample subjects, and blocks of neighbouring frames within each: the interval of a mean over several subjects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from emo_bench.statistics.confidence import ROUNDING

SHORTEST_BLOCK_FRAMES = 25
LENGTHENED = 2.0

FloatArray = NDArray[np.float64]


def interval_over_subjects(
    series: Sequence[FloatArray], level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """The interval of the mean over subjects like these, each with equal weight.

    Subjects are drawn with replacement, and then moving blocks of frames within each (Kuensch 1989). The deviations of
    the percentiles are multiplied by ``sqrt(k / (k - 1)) t_{k-1} / z`` for k subjects, because a percentile interval is
    too narrow for small k (Hesterberg 2015, The American Statistician 69, section 5.3).

    Args:
        series: ``[N]`` for each of at least two subjects; an undefined frame is NaN.
        level: confidence level.
        resamples: number of resamples.
        seed: seed of the resampling.
    """
    rng = np.random.default_rng(seed)
    count = len(series)
    means = np.stack(
        [
            resampled_means(np.nan_to_num(own), ~np.isnan(own), block_length(own), resamples, int(rng.integers(2**32)))
            for own in series
        ]
    )
    # If a subject is drawn twice, each draw uses another resample of its frames.
    drawn, resample = (rng.integers(0, high, size=(count, resamples)) for high in (count, resamples))
    drawn_means = np.nanmean(means[drawn, resample], axis=0)
    mean = float(np.mean([np.nanmean(own) for own in series]))
    tail = (1.0 - level) / 2.0
    stretch = math.sqrt(count / (count - 1)) * stats.t.ppf(1 - tail, count - 1) / stats.norm.ppf(1 - tail)
    low, high = mean + stretch * (np.nanquantile(drawn_means, [tail, 1.0 - tail]) - mean)
    return float(low), float(high)


def block_length(series: FloatArray, shortest: int = SHORTEST_BLOCK_FRAMES) -> int:
    """Length of the blocks: twice the optimal length, at least ``shortest``, and at most a quarter of the series.

    The length is doubled because the optimum is for the variance; blocks that are too short harm an interval more.
    """
    wanted = math.ceil(LENGTHENED * optimal_block_length(series))
    return max(1, min(max(shortest, wanted), len(series) // 4))


def optimal_block_length(series: FloatArray) -> float:
    """The length of moving blocks that estimates the variance of the mean best, from the autocovariances.

    Politis and White 2004 (Econometric Reviews 23) with the correction of Patton, Politis and White 2009, for
    circular blocks; moving blocks have the same bias and variance. Undefined frames count as the mean. The length is
    1 for a series that is constant or shorter than 9 frames.
    """
    defined = ~np.isnan(series)
    n = len(series)
    if n < 9 or defined.sum() < 2:
        return 1.0
    centred = np.where(defined, series - series[defined].mean(), 0.0)
    lags = max(5, math.ceil(math.sqrt(math.log10(n))))
    furthest = min(math.ceil(math.sqrt(n)) + lags, n - 1)
    covariance = np.array([centred[k:] @ centred[: n - k] for k in range(furthest + 1)]) / n
    if covariance[0] <= (ROUNDING * np.abs(series[defined]).max()) ** 2:
        return 1.0
    small = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    quiet = [k for k in range(furthest - lags + 1) if small[k : k + lags].all()]
    last = quiet[0] if quiet else (int(np.flatnonzero(~small)[-1]) + 1 if not small.all() else 0)
    window = min(2 * max(last, 1), furthest)
    lag = np.arange(1, window + 1)
    weights = np.minimum(1.0, 2.0 * (1.0 - lag / window)) * covariance[1 : window + 1]
    spectrum = covariance[0] + 2 * weights.sum()
    slope = 2 * (weights * lag).sum()
    if spectrum <= 0:
        return 1.0
    length = (1.5 * slope**2 / spectrum**2 * n) ** (1 / 3)
    return float(max(1.0, min(length, math.ceil(min(3 * math.sqrt(n), n / 3)))))


def resampled_means(
    values: NDArray[np.float64], defined: NDArray[np.bool_], block: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of `resamples` series of the same length, each made of random blocks of `block` neighbouring frames.

    Args:
        values: `[N]`; the value of an undefined frame is 0.
        defined: `[N]`; an undefined frame keeps its place, and no mean counts it.
        block: length of a block, in frames.
        resamples: number of means.
        seed: seed of the resampling.

    Returns:
        float64 `[resamples]`; NaN if a resample has no defined frame.
    """
    length = len(values)
    blocks = -(-length // block)
    starts = np.random.default_rng(seed).integers(0, length - block + 1, size=(resamples, blocks))
    positions = (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :length]
    counts = defined[positions].sum(axis=1)
    sums = values[positions].sum(axis=1)
    means = np.full(resamples, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
