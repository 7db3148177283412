"""Intervals of means against series whose mean is known, a dense reimplementation, and the laws that they must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, linalg, optimize, stats
from scipy.signal import lfilter

from emo_bench.statistics import mean_interval
from emo_bench.statistics.confidence import FEWEST_EFFECTIVE
from emo_bench.statistics.persistence import MeanError, mean_error


def autocorrelated(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of mean 0 and variance 1."""
    noise = rng.normal(size=n) * math.sqrt(1 - rho**2)
    noise[0] /= math.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


WALK = np.random.default_rng(1).normal(size=75).cumsum()


# Out of 200 series, a share of 95 % has a standard error of 1.5 %.
@pytest.mark.parametrize(
    ("n", "rho", "least"),
    [
        (500, 0.0, 0.92), (500, 0.8, 0.92), (500, 0.9, 0.92), (500, 0.95, 0.92), (500, 0.98, 0.92),
        (75, 0.0, 0.92), (75, 0.8, 0.92), (75, 0.9, 0.90), (75, 0.95, 0.90), (75, 0.98, 0.85), (24, 0.5, 0.90),
    ],
)  # fmt: skip
def test_intervals_hold_the_mean_of_frames_that_are_alike(n: int, rho: float, least: float) -> None:
    """The moving blocks of 25 frames that stood here before held it for 33 to 94 % of these series."""
    rng = np.random.default_rng(2)
    found = [mean_interval(autocorrelated(n, rho, rng)) for _ in range(200)]
    shown = [interval for interval in found if not interval.withheld]
    assert np.mean([interval.low <= 0 <= interval.high for interval in shown]) >= least
    assert len(shown) / 200 >= (0.98 if n * (1 - rho) > 14 else 0.3)


@pytest.mark.parametrize(("n", "rho", "widest"), [(500, 0.0, 1.15), (500, 0.8, 1.3), (500, 0.9, 1.45), (75, 0.0, 1.35)])
def test_intervals_are_hardly_wider_than_with_a_known_variance(n: int, rho: float, widest: float) -> None:
    rng = np.random.default_rng(3)
    found = [mean_interval(autocorrelated(n, rho, rng)) for _ in range(60)]
    lags = np.arange(1, n)
    variance = (1 + 2 * ((1 - lags / n) * rho**lags).sum()) / n
    ideal = 2 * stats.norm.ppf(0.975) * math.sqrt(variance)
    assert 0.9 <= np.median([interval.high - interval.low for interval in found]) / ideal <= widest
    assert np.median([interval.n_effective for interval in found]) == pytest.approx(1 / variance, rel=0.4)


def test_the_closed_form_is_that_of_dense_covariances() -> None:
    """Cosines, likelihoods and the regression of the mean from whole matrices, inverted by LAPACK."""
    n, q = 40, round(1.5 * 40 ** (2 / 3))
    series = autocorrelated(n, 0.7, np.random.default_rng(4)) * 3 + 20
    cosines = fft.dct(np.eye(n), norm="ortho", axis=0)[: q + 1]
    y = cosines[1:] @ series
    decays = np.geomspace(0.25, 2 * n, 24)
    shares = dict(zip((0.0, 0.15, 0.3, 0.5, 0.7, 0.85), (0.5, 0.1, 0.1, 0.1, 0.1, 0.1), strict=True))
    total = (decays**0.15).sum()
    cases = [(math.exp(-c / n), w, 0.3 * c**0.15 / total * share) for c in decays for w, share in shares.items()]
    parts = []
    for rho, noise, prior in [*cases, (0.0, 0.0, 0.7)]:
        whole = cosines @ ((1 - noise) * linalg.toeplitz(rho ** np.arange(n)) + noise * np.eye(n)) @ cosines.T
        inner = whole[1:, 1:]
        square = y @ linalg.solve(inner, y)
        slope = linalg.solve(inner, whole[1:, 0])
        likelihood = -0.5 * np.linalg.slogdet(inner)[1] - 0.5 * q * math.log(square)
        scale = math.sqrt(square / q * (whole[0, 0] - whole[1:, 0] @ slope) / n)
        parts.append((math.log(prior) + likelihood, slope @ y / math.sqrt(n), scale, square / q * whole[0, 0] / n))
    logs, shifts, scales, variances = map(np.array, zip(*parts, strict=True))
    weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    found = mean_error(series)
    assert found.n_effective == pytest.approx(1 / (weights @ (variances / (variances + series.var()))), rel=1e-6)
    for level in (0.8, 0.95, 0.99):
        half = found.half_width(level)
        held = stats.t.cdf((half - shifts) / scales, q) - stats.t.cdf((-half - shifts) / scales, q)
        assert weights @ held == pytest.approx(level, abs=1e-5)


@pytest.mark.parametrize("n", [12, 13, 24, 75, 500])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_half_the_width_is_the_root_that_brents_method_finds(n: int, level: float) -> None:
    """Brent's method on the mixture of scipy's distributions, for series from white noise to a random walk."""
    rng = np.random.default_rng(n)
    series = [autocorrelated(n, rho, rng) for rho in (0.0, 0.5, 0.9, 0.98) for _ in range(8)]
    series += [rng.normal(size=n).cumsum(), np.linspace(0.0, 1.0, n), np.eye(n)[n // 2], rng.exponential(size=n) ** 3]
    for own in series:
        error = mean_error(own)

        def excess(half: float, error: MeanError = error) -> float:
            ends = (np.array([[half], [-half]]) - error.shifts) / error.scales
            upper, lower = stats.t.cdf(ends, error.freedom)
            return float(error.weights @ (upper - lower)) - level

        root = optimize.brentq(excess, 0.0, 1e4 * error.scales.max(), xtol=1e-300, rtol=1e-13)
        assert error.half_width(level) == pytest.approx(root, rel=1e-7)


series_of_scores = st.tuples(st.integers(12, 90), st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 0.9]))


@settings(max_examples=40, deadline=None)
@given(series_of_scores, st.floats(0.01, 1000), st.floats(-100, 100))
def test_another_unit_and_the_order_from_behind_change_nothing(
    made: tuple[int, int, float], factor: float, shift: float
) -> None:
    n, seed, rho = made
    scores = autocorrelated(n, rho, np.random.default_rng(seed))
    plain, scaled = mean_interval(scores), mean_interval(-factor * scores + shift)
    backwards = mean_interval(scores[::-1])
    assert scaled.withheld == plain.withheld == backwards.withheld
    assert scaled.n_effective == pytest.approx(plain.n_effective, rel=1e-4)
    if not plain.withheld:
        size = factor * (abs(plain.low) + abs(plain.high)) + abs(shift)
        assert scaled.low == pytest.approx(-factor * plain.high + shift, abs=1e-5 * size)
        assert scaled.high == pytest.approx(-factor * plain.low + shift, abs=1e-5 * size)
        assert (backwards.low, backwards.high) == pytest.approx((plain.low, plain.high), rel=1e-5, abs=1e-5)


def test_undefined_frames_are_left_out_and_counted() -> None:
    scores = np.random.default_rng(3).normal(5.0, 1.0, size=200)
    holes = scores.copy()
    holes[60:100] = np.nan
    interval = mean_interval(holes)
    assert interval == mean_interval(np.delete(scores, range(60, 100)))
    assert interval.n == 160
    assert interval.low < interval.mean < interval.high


@pytest.mark.parametrize(
    ("scores", "mean", "why"),
    [
        ([], np.nan, "frames with a score: 0; an interval needs at least 12"),
        ([3.0], 3.0, "frames with a score: 1; an interval needs at least 12"),
        ([np.nan, *[2.0] * 11], 2.0, "frames with a score: 11; an interval needs at least 12"),
        ([np.inf, *[30.0] * 99], np.inf, "a score is infinite"),
        (WALK, WALK.mean(), "the scores of neighbouring frames are so similar that the 75 frames are worth fewer"),
    ],
)
def test_an_interval_that_the_frames_cannot_give_is_withheld_with_its_reason(
    scores: list[float], mean: float, why: str
) -> None:
    interval = mean_interval(scores)
    assert interval.withheld.startswith(why)
    assert interval.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan(interval.low) and np.isnan(interval.high)
    assert np.isnan(interval.n_effective) or interval.n_effective < FEWEST_EFFECTIVE


def test_equal_scores_have_an_interval_without_width() -> None:
    interval = mean_interval([0.1 + 0.2, 0.3] * 20)
    assert (interval.low, interval.high, interval.n_effective, interval.withheld) == (
        interval.mean,
        interval.mean,
        40,
        "",
    )


def test_a_smaller_level_gives_a_narrower_interval() -> None:
    scores = np.random.default_rng(5).normal(size=80)
    wide, narrow = mean_interval(scores, level=0.99), mean_interval(scores, level=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_long_series_takes_milliseconds() -> None:
    """The cosines are at most 200, so that an hour of video needs no large matrix."""
    scores = autocorrelated(90_000, 0.9, np.random.default_rng(6))
    interval = mean_interval(scores)
    assert interval.low <= 0 <= interval.high
    assert interval.n_effective == pytest.approx(90_000 / 19, rel=0.3)
