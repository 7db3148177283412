"""The block bootstrap against scipy, against theory, and on the frames that have no score."""

import numpy as np
import pytest
from scipy import stats

from emo_bench.statistics import mean_interval


def autocorrelated(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of mean 0 and variance 1."""
    series = np.empty(n)
    series[0] = rng.normal()
    for t in range(1, n):
        series[t] = rho * series[t - 1] + np.sqrt(1 - rho**2) * rng.normal()
    return series


def test_blocks_of_one_are_scipys_percentile_bootstrap() -> None:
    scores = np.random.default_rng(0).gamma(2.0, 3.0, size=300)
    ours = mean_interval(scores, block_frames=1, resamples=4000)
    theirs = stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(scores.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_blocks_cover_the_mean_of_neighbouring_frames_that_are_alike() -> None:
    """For AR(1) with rho 0.9 the mean of n frames has sqrt((1+rho)/(1-rho)) = 4.4 times the naive error."""
    rng = np.random.default_rng(2)
    covered = {1: 0, 50: 0}
    for _ in range(120):
        series = autocorrelated(500, 0.9, rng)
        for block in covered:
            interval = mean_interval(series, block_frames=block, resamples=300)
            covered[block] += interval.low <= 0.0 <= interval.high
    assert covered[50] / 120 > 0.8
    assert covered[1] / 120 < 0.55


def test_undefined_frames_are_left_out_and_counted() -> None:
    scores = np.random.default_rng(3).normal(5.0, 1.0, size=200)
    holes = scores.copy()
    holes[60:100] = np.nan
    interval = mean_interval(holes)
    assert interval.n == 160
    assert interval.mean == pytest.approx(np.delete(scores, range(60, 100)).mean())
    assert interval.low < interval.mean < interval.high


def test_same_seed_same_interval() -> None:
    scores = np.random.default_rng(4).normal(size=80)
    assert mean_interval(scores, seed=7) == mean_interval(scores, seed=7)
    assert mean_interval(scores, seed=7) != mean_interval(scores, seed=8)


@pytest.mark.parametrize(("scores", "n", "mean"), [([], 0, np.nan), ([3.0], 1, 3.0), ([np.nan, 2.0], 1, 2.0)])
def test_too_few_frames_have_no_interval(scores: list[float], n: int, mean: float) -> None:
    interval = mean_interval(scores)
    assert interval.n == n
    assert interval.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan(interval.low) and np.isnan(interval.high)


def test_infinite_psnr_is_not_interpolated() -> None:
    interval = mean_interval([np.inf, *[30.0] * 99])
    assert interval.mean == np.inf and interval.high == np.inf
    assert interval.low == 30.0
