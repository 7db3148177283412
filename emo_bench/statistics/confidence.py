"""Confidence intervals of means over frames: moving-block bootstrap, because neighbouring frames are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEFAULT_BLOCK_FRAMES = 25


@dataclass(frozen=True)
class Interval:
    """A mean and its interval: `n` frames counted (NaN left out), resampled in blocks of `block_frames`."""

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
    """Percentile interval of the mean by the moving-block bootstrap (Kuensch 1989).

    scores: one number a frame in frame order; NaN (undefined) frames keep their place and are left out of
    every mean. Blocks of `block_frames` neighbouring frames are drawn with replacement; a series shorter
    than four blocks uses a quarter of its length. One frame, or none, has no interval (NaN).
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
    # "nearest" because an infinite PSNR must not be interpolated.
    low, high = np.nanquantile(means, [tail, 1.0 - tail], method="nearest")
    mean = float(values[defined].mean())
    return Interval(mean, float(low), float(high), n, block, resamples, level)


def resampled_means(
    values: NDArray[np.float64], defined: NDArray[np.bool_], block: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of `resamples` series of the same length, each of blocks of `block` neighbouring frames drawn at random.

    values [N], defined [N]: a frame that is not defined keeps its place and counts in no mean; its value is 0.
    Returns float64 [resamples], NaN where a resample has no defined frame.
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
