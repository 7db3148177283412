"""Confidence intervals of means over frames, by the moving-block bootstrap because neighbouring frames are similar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEFAULT_BLOCK_FRAMES = 25


@dataclass(frozen=True)
class Interval:
    """A mean and its interval over the `n` frames that have a score, resampled in blocks of `block_frames` frames."""

    mean: float
    low: float
    high: float
    n: int
    block_frames: int
    resamples: int
    level: float


def mean_interval(
    scores: Sequence[float] | NDArray[np.float64],
    *,
    block_frames: int = DEFAULT_BLOCK_FRAMES,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a mean by the moving-block bootstrap (Kuensch 1989).

    Args:
        scores: `[N]`, one for each frame in frame order. An undefined score (NaN) keeps its place, and no mean
            counts it.
        block_frames: length of the blocks of neighbouring frames, which are drawn with replacement. If the series is
            shorter than four blocks, a block is a quarter of the series.
        resamples: number of resampled means.
        level: confidence level.
        seed: seed of the resampling.

    Returns:
        The mean and its interval; the interval is NaN if fewer than two frames have a score.
    """
    values = np.asarray(scores, dtype=np.float64)
    defined = ~np.isnan(values)
    n = int(defined.sum())
    block = max(1, min(block_frames, len(values) // 4))
    if n < 2:
        mean = float(values[defined][0]) if n else np.nan
        return Interval(mean, np.nan, np.nan, n, block, resamples, level)
    means = resampled_means(np.where(defined, values, 0.0), defined, block, resamples, seed)
    tail = (1.0 - level) / 2.0
    # "nearest", because an infinite PSNR cannot be interpolated.
    low, high = np.nanquantile(means, [tail, 1.0 - tail], method="nearest")
    mean = float(values[defined].mean())
    return Interval(mean, float(low), float(high), n, block, resamples, level)


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
