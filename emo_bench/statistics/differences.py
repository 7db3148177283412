"""Decide whether scores are better than others on the same frames, by the interval of their paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from emo_bench.statistics.blocks import block_length, interval_over_subjects
from emo_bench.statistics.confidence import ROUNDING, uncertainty

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
LEVEL = 0.95
RESAMPLES = 4000
# Share of the frames that must have a score on both sides; with fewer there is no verdict.
PAIRED_SHARE = 0.5

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
        low, high: its interval at ``level``; NaN if it is withheld.
        level: confidence level of the interval.
        effect_size: the difference divided by the standard deviation of the frames' differences (Cohen's d_z). It is
            infinite if all frames differ by the same amount.
        wins: share of the frames on which A is better; a tie counts one half.
        n: number of frames compared.
        n_frames: number of frames in all.
        n_infinite: number of frames that are left out because one side is infinite.
        subjects: number of subjects. With one, the interval is over its frames; with several, it is over subjects.
        n_effective: with one subject, the number of independent frames whose mean difference would be as uncertain;
            NaN if it is not known.
        withheld: why there is no interval; empty if there is one.
        block_frames: with several subjects, length of the resampled blocks, the longest of all subjects.
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
    n_effective: float
    withheld: str
    block_frames: int | None
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

    With one subject, the interval is that of the mean of the frames' differences
    (:func:`emo_bench.statistics.persistence.mean_error`), and the uncertainty between seeds is added if a side has
    several seeds. With several subjects, subjects and blocks of frames within each are resampled; the interval is about
    subjects like these. docs/statistics.md explains the method.

    Args:
        subjects: at least one.
        direction: which is better, ``higher`` or ``lower``.
        level: confidence level of the interval.
        resamples: number of resamples, with several subjects.
        seed: seed of the resampling, with several subjects.
    """
    if not subjects:
        raise ValueError("nothing to compare")
    sign = 1.0 if direction == "higher" else -1.0
    gaps = [_gaps(subject) for subject in subjects]
    used = [gap[~np.isnan(gap)] for gap in gaps]
    mean = _mean([own.mean() if len(own) else math.nan for own in used])
    low, high, effective, withheld = math.nan, math.nan, math.nan, _too_few(used, gaps)
    several = len(subjects) > 1
    if not withheld and several:
        low, high = interval_over_subjects(gaps, level, resamples, seed)
    elif not withheld:
        half, effective, withheld = _half_width(used[0], level)
        low, high = _with_seeds(subjects[0], mean, mean - half, mean + half, level)
    decided = low > 0 or high < 0
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
        n_effective=effective,
        withheld=withheld,
        block_frames=max(map(block_length, gaps)) if several else None,
        seeds_a=min(len(subject.a) for subject in subjects),
        seeds_b=min(len(subject.b) for subject in subjects),
        spread_a=between_seed_spread([subject.a for subject in subjects]),
        spread_b=between_seed_spread([subject.b for subject in subjects]),
        verdict=(BETTER if mean * sign > 0 else WORSE) if decided else UNDECIDED,
    )


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


def _too_few(used: Sequence[FloatArray], gaps: Sequence[FloatArray]) -> str:
    """Why the paired frames are too few for an interval; empty if they suffice."""
    for own, gap in zip(used, gaps, strict=True):
        if len(own) < max(2, PAIRED_SHARE * len(gap)):
            return f"only {len(own)} of {len(gap)} frames have a score on both sides"
    return ""


def _half_width(gaps: FloatArray, level: float) -> tuple[float, float, str]:
    """Half the width of the interval over the frames of one subject, their effective number, why it is withheld."""
    reason, error = uncertainty(gaps)
    if error is None:
        return (math.nan, math.nan, reason) if reason else (0.0, float(len(gaps)), "")
    return math.nan if reason else error.half_width(level), error.n_effective, reason


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
