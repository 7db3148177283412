"""Decide whether scores are better than others on the same frames, by a paired block bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from emo_bench.statistics.confidence import DEFAULT_BLOCK_FRAMES, resampled_means

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
LEVEL = 0.95
RESAMPLES = 4000
# Share of the frames that must have a score on both sides; with fewer there is no verdict.
PAIRED_SHARE = 0.5
LENGTHENED = 2.0
# Two scores whose relative difference is below this differ by rounding only.
ROUNDING = 1e-9

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SubjectScores:
    """Scores of both sides on one subject: ``a [S_A, N]`` and ``b [S_B, N]``, one row for each seed.

    Both sides have the same frames, in frame order; an undefined score is NaN.
    """

    a: FloatArray
    b: FloatArray

    def __post_init__(self) -> None:
        if self.a.ndim != 2 or self.b.ndim != 2 or self.a.shape[1] != self.b.shape[1]:
            raise ValueError(f"scores are [seeds, frames] of the same frames, not {self.a.shape}, {self.b.shape}")


@dataclass(frozen=True)
class Difference:
    """A minus B, over the frames for which both have a score.

    Attributes:
        mean_a, mean_b: means over those frames, and over subjects with equal weight.
        difference: the difference of the means.
        low, high: its interval at ``level``; NaN if there is none.
        level: confidence level of the interval.
        effect_size: the difference divided by the standard deviation of the frames' differences (Cohen's d_z). It is
            infinite if all frames differ by the same amount.
        wins: share of the frames on which A is better; a tie counts one half.
        n: number of frames compared.
        n_frames: number of frames in all.
        n_infinite: number of frames that are left out because one side is infinite.
        subjects: number of subjects. With one, the interval is over its frames; with several, it is over subjects.
        block_frames: length of the blocks, the longest of all subjects.
        seeds_a, seeds_b: the smallest number of seeds of a subject.
        spread_a, spread_b: standard deviation of a run's mean between seeds; NaN if no subject has two seeds.
        verdict: A is better, worse or undecided.
    """

    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    level: float
    effect_size: float
    wins: float
    n: int
    n_frames: int
    n_infinite: int
    subjects: int
    block_frames: int
    seeds_a: int
    seeds_b: int
    spread_a: float
    spread_b: float
    verdict: str


def compare_scores(
    subjects: Sequence[SubjectScores],
    direction: str,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare side A with side B, frame by frame.

    With one subject, moving blocks of the frames' differences are resampled (Kuensch 1989), and the uncertainty between
    seeds is added if a side has several seeds. With several subjects, subjects are drawn with replacement, and then
    blocks within each; the interval is about subjects like these. The deviations of the percentiles are multiplied by
    ``sqrt(k / (k - 1)) t_{k-1} / z`` for k blocks or subjects, because a percentile interval is too narrow for small k
    (Hesterberg 2015, The American Statistician 69, section 5.3). docs/statistics.md explains the method.

    Args:
        subjects: at least one.
        direction: which is better, ``higher`` or ``lower``.
        level: confidence level of the interval.
        resamples: number of resamples.
        seed: seed of the resampling.
    """
    if not subjects:
        raise ValueError("nothing to compare")
    sign = 1.0 if direction == "higher" else -1.0
    gaps = [_gaps(subject) for subject in subjects]
    used = [gap[~np.isnan(gap)] for gap in gaps]
    blocks = [block_length(gap) for gap in gaps]
    enough = all(len(own) >= max(2, PAIRED_SHARE * len(gap)) for own, gap in zip(used, gaps, strict=True))
    mean = _mean([own.mean() if len(own) else math.nan for own in used])
    low, high = math.nan, math.nan
    if enough:
        rng = np.random.default_rng(seed)
        low, high = _interval(gaps, blocks, mean, level, resamples, rng)
        if len(subjects) == 1:
            low, high = _with_seeds(subjects[0], mean, low, high, level)
    decided = enough and (low > 0 or high < 0)
    frames = [_means_on(subject, ~np.isnan(gap)) for subject, gap in zip(subjects, gaps, strict=True)]
    return Difference(
        mean_a=_mean([a for a, _ in frames]),
        mean_b=_mean([b for _, b in frames]),
        difference=mean,
        low=low,
        high=high,
        level=level,
        effect_size=_effect_size(used, mean),
        wins=_mean([float(((own * sign > 0) + 0.5 * (own == 0)).mean()) if len(own) else math.nan for own in used]),
        n=sum(map(len, used)),
        n_frames=sum(map(len, gaps)),
        n_infinite=sum(_one_sided_infinities(subject) for subject in subjects),
        subjects=len(subjects),
        block_frames=max(blocks),
        seeds_a=min(len(subject.a) for subject in subjects),
        seeds_b=min(len(subject.b) for subject in subjects),
        spread_a=between_seed_spread([subject.a for subject in subjects]),
        spread_b=between_seed_spread([subject.b for subject in subjects]),
        verdict=(BETTER if mean * sign > 0 else WORSE) if decided else UNDECIDED,
    )


def block_length(series: FloatArray, shortest: int = DEFAULT_BLOCK_FRAMES) -> int:
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


def between_seed_spread(scores: Sequence[FloatArray]) -> float:
    """The standard deviation of a run's mean between seeds, pooled over subjects; NaN if no subject has two seeds.

    Args:
        scores: one ``[S, N]`` for each subject. A frame counts if all seeds have a finite score.
    """
    variances = [
        (float(means.var(ddof=1)), len(means) - 1)
        for means in map(_seed_means, scores)
        if len(means) > 1 and np.isfinite(means).all()
    ]
    freedom = sum(df for _, df in variances)
    return math.sqrt(sum(v * df for v, df in variances) / freedom) if freedom else math.nan


def _gaps(subject: SubjectScores) -> FloatArray:
    """``[N]``: the mean of A over its seeds minus that of B. NaN if a seed is undefined or one side is infinite."""
    with np.errstate(invalid="ignore"):
        a, b = subject.a.mean(axis=0), subject.b.mean(axis=0)
        gaps = np.where(a == b, 0.0, a - b)
        gaps[np.abs(gaps) <= ROUNDING * np.maximum(np.abs(a), np.abs(b))] = 0.0
    gaps[np.isnan(a) | np.isnan(b)] = np.nan
    gaps[np.isinf(a) != np.isinf(b)] = np.nan
    return gaps


def _one_sided_infinities(subject: SubjectScores) -> int:
    a, b = subject.a.mean(axis=0), subject.b.mean(axis=0)
    return int(((np.isinf(a) & np.isfinite(b)) | (np.isfinite(a) & np.isinf(b))).sum())


def _means_on(subject: SubjectScores, frames: NDArray[np.bool_]) -> tuple[float, float]:
    if not frames.any():
        return math.nan, math.nan
    return float(subject.a[:, frames].mean()), float(subject.b[:, frames].mean())


def _interval(
    gaps: Sequence[FloatArray],
    blocks: Sequence[int],
    mean: float,
    level: float,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The interval of the mean over subjects."""
    means = np.stack(
        [
            resampled_means(np.nan_to_num(gap), ~np.isnan(gap), block, resamples, int(rng.integers(2**32)))
            for gap, block in zip(gaps, blocks, strict=True)
        ]
    )
    count = len(gaps)
    if count > 1:
        # If a subject is drawn twice, each draw uses another resample of its frames.
        drawn, resample = (rng.integers(0, high, size=(count, resamples)) for high in (count, resamples))
        means = np.nanmean(means[drawn, resample], axis=0, keepdims=True)
    tail = (1.0 - level) / 2.0
    quantiles = np.nanquantile(means[0], [tail, 1.0 - tail])
    units = count if count > 1 else len(gaps[0]) / blocks[0]
    low, high = mean + _stretch(units, level) * (quantiles - mean)
    return float(low), float(high)


def _stretch(units: float, level: float) -> float:
    """The factor by which the percentile interval of a mean of ``units`` independent values is too narrow."""
    if units <= 1:
        return math.nan
    tail = (1.0 + level) / 2.0
    return float(math.sqrt(units / (units - 1)) * stats.t.ppf(tail, units - 1) / stats.norm.ppf(tail))


def _with_seeds(subject: SubjectScores, mean: float, low: float, high: float, level: float) -> tuple[float, float]:
    """Widen the interval over frames by the error of the means over seeds, in quadrature.

    With several subjects this is not needed, because the effect of seeds is a part of the differences between subjects.
    """
    sides = [means for means in map(_seed_means, (subject.a, subject.b)) if len(means) > 1]
    sides = [means for means in sides if np.isfinite(means).all()]
    if not sides:
        return low, high
    error = math.sqrt(sum(float(means.var(ddof=1)) / len(means) for means in sides))
    half = float(stats.t.ppf((1.0 + level) / 2.0, sum(len(means) - 1 for means in sides))) * error
    return mean - math.hypot(mean - low, half), mean + math.hypot(high - mean, half)


def _seed_means(scores: FloatArray) -> FloatArray:
    """``[S]``: the mean of each seed, over the frames for which all seeds have a finite score."""
    finite = np.isfinite(scores).all(axis=0)
    return scores[:, finite].mean(axis=1) if finite.any() else np.full(len(scores), np.nan)


def _effect_size(gaps: Sequence[FloatArray], mean: float) -> float:
    """Cohen's d_z; subjects have equal weight."""
    if mean == 0 or math.isnan(mean):
        return mean
    deviation = math.sqrt(_mean([float(((gap - mean) ** 2).mean()) for gap in gaps]))
    return mean / deviation if deviation > ROUNDING * abs(mean) else math.copysign(math.inf, mean)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
