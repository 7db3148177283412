"""Paired comparisons against scipy, against analytic cases and against the laws that they must keep."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from emo_bench.statistics import mean_interval
from emo_bench.statistics.blocks import block_length, optimal_block_length
from emo_bench.statistics.differences import SubjectScores, between_seed_spread, compare_scores


def autocorrelated(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of mean 0 and variance 1."""
    noise = rng.normal(size=n + 200) * math.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)[200:]


def one(a: np.ndarray, b: np.ndarray) -> list[SubjectScores]:
    return [SubjectScores(np.atleast_2d(a), np.atleast_2d(b))]


# Out of 200 pairs, a share of 5 % has a standard error of 1.5 %.
@pytest.mark.parametrize(
    ("n", "rho"), [(500, 0.0), (500, 0.9), (500, 0.98), (75, 0.0), (75, 0.9), (75, 0.95), (75, 0.98)]
)
def test_sides_that_are_equal_are_rarely_called_different(n: int, rho: float) -> None:
    """Both sides share the scene's difficulty, which the pairing takes out. It was 18 to 46 % for 75 frames."""
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(200):
        scene, gap = 10 * autocorrelated(n, 0.99, rng), autocorrelated(n, rho, rng)
        found = compare_scores(one(30 + scene + gap, 30 + scene), "higher")
        false += found.verdict != "undecided"
        assert found.withheld or found.low <= found.difference <= found.high
    assert false / 200 <= 0.09


def test_a_difference_of_similar_frames_is_found() -> None:
    """With the correlations of our own differences (0.8) and 500 frames, 0.6 standard deviations are enough."""
    rng = np.random.default_rng(15)
    verdicts = [
        compare_scores(one(30 + 0.6 + autocorrelated(500, 0.8, rng), np.full(500, 30.0)), "higher").verdict
        for _ in range(100)
    ]
    assert verdicts.count("better") >= 90


def test_the_interval_is_that_of_the_mean_of_the_differences() -> None:
    rng = np.random.default_rng(16)
    a, b = autocorrelated(120, 0.7, rng), autocorrelated(120, 0.7, rng)
    a[7] = np.nan
    found, own = compare_scores(one(a, b), "higher"), mean_interval(a - b)
    assert (found.low, found.high, found.n_effective) == pytest.approx((own.low, own.high, own.n_effective))
    assert (found.withheld, found.block_frames) == ("", None)


@pytest.mark.parametrize(
    ("gap", "why"),
    [
        (np.random.default_rng(1).normal(size=75).cumsum(), "the scores of neighbouring frames are so similar"),
        (1 + 0.01 * np.random.default_rng(1).normal(size=6), "frames with a score: 6; an interval needs at least 12"),
    ],
)
def test_a_withheld_interval_has_no_verdict(gap: np.ndarray, why: str) -> None:
    found = compare_scores(one(gap + 100, np.zeros(len(gap))), "higher")
    assert found.withheld.startswith(why)
    assert (found.verdict, found.n) == ("undecided", len(gap))
    assert math.isnan(found.low) and math.isnan(found.high)
    several = compare_scores(one(gap + 100, np.zeros(len(gap))) * 2, "higher")
    assert (several.withheld, several.verdict) == ("", "better")


@pytest.mark.parametrize("between", [0.3, 5.0])
def test_actors_are_clusters(between: float) -> None:
    """The interval is about the population of subjects: with few of them it must still cover its mean."""
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(120):
        subjects = [one(between * rng.normal() + autocorrelated(200, 0.8, rng), np.zeros(200))[0] for _ in range(4)]
        found = compare_scores(subjects, "higher", resamples=300)
        covered += found.low <= 0 <= found.high
    assert covered / 120 >= 0.87


def test_many_subjects_give_the_interval_of_the_t_test() -> None:
    rng = np.random.default_rng(7)
    centres = rng.normal(0.2, 1.0, size=25)
    subjects = [one(np.full(40, centre), np.zeros(40))[0] for centre in centres]
    found = compare_scores(subjects, "higher")
    theirs = stats.ttest_1samp(centres, 0.0).confidence_interval()
    assert found.difference == pytest.approx(centres.mean())
    assert found.high - found.low == pytest.approx(theirs.high - theirs.low, rel=0.06)


def test_one_subject_of_independent_frames_gives_the_interval_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(1.0, 1.0, size=(2, 2000))
    found = compare_scores(one(a, b), "higher")
    theirs = stats.ttest_rel(a, b).confidence_interval()
    assert found.high - found.low == pytest.approx(theirs.high - theirs.low, rel=0.15)
    assert found.effect_size == pytest.approx((a - b).mean() / (a - b).std())
    assert found.wins == pytest.approx((a > b).mean())


def test_a_constant_difference_is_exact() -> None:
    b = np.linspace(20.0, 30.0, 100)
    found = compare_scores(one(b + 0.5, b), "higher")
    assert (found.low, found.difference, found.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)
    assert (found.verdict, found.wins, found.effect_size) == ("better", 1.0, math.inf)
    assert compare_scores(one(b + 0.5, b), "lower").verdict == "worse"


scores = st.lists(st.floats(-50, 50, allow_nan=False, width=32), min_size=12, max_size=60).map(np.array)


@settings(max_examples=40, deadline=None)
@given(scores, st.integers(0, 10_000), st.sampled_from(["higher", "lower"]))
def test_exchanging_the_sides_exchanges_the_verdict(a: np.ndarray, seed: int, direction: str) -> None:
    b = a + np.random.default_rng(seed).normal(0.1, 1.0, size=len(a))
    forth = compare_scores(one(a, b), direction, resamples=200)
    back = compare_scores(one(b, a), direction, resamples=200)
    assert back.difference == -forth.difference
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), rel=1e-9, abs=1e-12)
    assert back.wins == pytest.approx(1 - forth.wins)
    assert {"better": "worse", "worse": "better", "undecided": "undecided"}[forth.verdict] == back.verdict


@settings(max_examples=40, deadline=None)
@given(scores, st.floats(0, 1e-12), st.integers(1, 3))
def test_identical_runs_are_undecided(a: np.ndarray, rounding: float, subjects: int) -> None:
    found = compare_scores(one(a, a * (1 + rounding)) * subjects, "higher", resamples=200)
    assert (found.difference, found.low, found.high, found.effect_size) == (0, 0, 0, 0)
    assert (found.verdict, found.wins) == ("undecided", 0.5)


@settings(max_examples=30, deadline=None)
@given(scores, st.floats(-5, 5), st.integers(0, 100))
def test_what_both_sides_share_does_not_matter(a: np.ndarray, shift: float, seed: int) -> None:
    b = a + np.random.default_rng(seed).normal(size=len(a))
    alone = compare_scores(one(a, b), "higher", resamples=200)
    shifted = compare_scores(one(a + shift, b + shift), "higher", resamples=200)
    np.testing.assert_allclose(
        [shifted.difference, shifted.low, shifted.high], [alone.difference, alone.low, alone.high], atol=1e-7
    )


def test_undefined_frames_are_left_out_in_pairs_and_too_many_decide_nothing() -> None:
    rng = np.random.default_rng(9)
    b = rng.normal(size=200)
    a = b + 1 + 0.1 * rng.normal(size=200)
    a[:60] = np.nan
    b[50:80] = np.nan
    found = compare_scores(one(a, b), "higher")
    assert (found.n, found.n_frames, found.verdict) == (120, 200, "better")
    assert found.mean_b == pytest.approx(b[80:].mean())
    b[80:110] = np.nan
    found = compare_scores(one(a, b), "higher")
    assert (found.n, found.verdict) == (90, "undecided")
    assert math.isnan(found.low)
    assert found.withheld == "only 90 of 200 frames have a score on both sides"
    nothing = compare_scores(one(np.full(9, np.nan), np.zeros(9)), "higher")
    assert (nothing.n, nothing.verdict) == (0, "undecided")
    assert math.isnan(nothing.difference)


def test_frames_like_the_recorded_ones_are_ties_or_counted() -> None:
    a, b = np.full(40, 31.0), np.full(40, 30.0)
    a[:8] = b[4:12] = np.inf
    found = compare_scores(one(a, b), "higher")
    assert (found.n, found.n_infinite) == (32, 8)
    assert found.difference == pytest.approx(28 / 32)


def test_seeds_widen_the_interval_of_one_actor() -> None:
    """Two avatars whose frames differ by a hair every time, but whose seeds differ by more, decide nothing."""
    frames = np.linspace(20, 30, 200)
    wobble = 0.01 * np.random.default_rng(10).normal(size=(6, 200))
    a = frames + 0.1 + np.array([[-1.0], [0.0], [1.0]]) + wobble[:3]
    b = frames + np.array([[-1.0], [0.0], [1.0]]) + wobble[3:]
    assert compare_scores([SubjectScores(a[1:2], b[1:2])], "higher").verdict == "better"
    found = compare_scores([SubjectScores(a, b)], "higher")
    assert (found.verdict, found.seeds_a, found.seeds_b) == ("undecided", 3, 3)
    theirs = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1)).confidence_interval()
    assert found.high - found.low == pytest.approx(theirs.high - theirs.low, rel=0.01)
    assert found.spread_a == pytest.approx(a.mean(axis=1).std(ddof=1))


def test_the_spread_between_seeds_is_pooled_over_actors() -> None:
    first, second = np.array([[1.0, 1.0], [3.0, 3.0]]), np.array([[5.0], [5.0], [8.0]])
    pooled = math.sqrt((1 * np.var([1, 3], ddof=1) + 2 * np.var([5, 5, 8], ddof=1)) / 3)
    assert between_seed_spread([first, second]) == pytest.approx(pooled)
    assert math.isnan(between_seed_spread([first[:1]]))


# arch 8.0: arch.bootstrap.optimal_block_length(series)["circular"]; it scales its autocorrelations a little
# differently.
ARCH = [(500, 0.5, 10.336), (500, 0.8, 17.808), (500, 0.95, 30.798), (24, 0.5, 1.091), (120, 0.7, 11.368)]


@pytest.mark.parametrize(("n", "rho", "expected"), ARCH)
def test_optimal_block_length_is_that_of_arch(n: int, rho: float, expected: float) -> None:
    series = lfilter([1.0], [1.0, -rho], np.random.default_rng(n).normal(size=n))
    assert optimal_block_length(series) == pytest.approx(expected, rel=0.2)


def test_blocks_are_a_second_or_longer_and_leave_four() -> None:
    rng = np.random.default_rng(11)
    assert block_length(rng.normal(size=500)) == 25
    assert block_length(autocorrelated(500, 0.95, rng)) > 40
    assert block_length(rng.normal(size=24)) == 6
    assert block_length(np.full(500, 0.1)) == 25
    assert block_length(np.array([1.0])) == 1


def test_a_smaller_level_gives_a_narrower_interval() -> None:
    a = np.random.default_rng(12).normal(size=300)
    wide, narrow = (compare_scores(one(a, a * 0), "higher", level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert dataclasses.asdict(wide)["level"] == 0.99


def test_scores_of_other_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="same frames"):
        SubjectScores(np.zeros((1, 5)), np.zeros((1, 6)))
