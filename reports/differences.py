"""The difference of two sides' scores of videos: of means over frames, or of what a metric has in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.aggregation import contributions, is_mean
from emo_bench.statistics.differences import BETTER, LEVEL, UNDECIDED, Difference, SubjectScores, compare_scores
from reports.ranking import LOST_SHARE


def compare_videos(subjects: Sequence[SubjectScores], record: Mapping[str, Any], level: float = LEVEL) -> Difference:
    """Side A minus side B, see ``statistics.differences.compare_scores``, on the frames for which both have a score.

    A side that has no score on more than ``LOST_SHARE`` of the frames on which the other has one is not called better:
    these may be the hard frames. The verdict is then undecided, and :func:`fails_more` is true.

    Args:
        subjects: the scores of both sides on each subject.
        record: the metric's record.
        level: confidence level of the interval.
    """
    found = compare_scores([averaged(subject, record) for subject in subjects], record["direction"], level=level)
    if not is_mean(record):
        # Which frame is better is a question of its score, not of its contribution.
        found = dataclasses.replace(found, wins=compare_scores(subjects, record["direction"], resamples=2).wins)
    if found.verdict == UNDECIDED:
        return found
    lacking_a, lacking_b = frames_lacking(subjects)
    more = lacking_a - lacking_b if found.verdict == BETTER else lacking_b - lacking_a
    return dataclasses.replace(found, verdict=UNDECIDED) if more > LOST_SHARE * found.n_frames else found


def fails_more(found: Difference) -> bool:
    """Whether a verdict is undecided only because the better side lacks scores on more frames."""
    return found.verdict == UNDECIDED and (found.low > 0 or found.high < 0)


def frames_lacking(subjects: Sequence[SubjectScores]) -> tuple[int, int]:
    """The number of frames for which a seed of side A has no score, and the same of side B."""
    return sum(_lacking(subject.a) for subject in subjects), sum(_lacking(subject.b) for subject in subjects)


def averaged(subject: SubjectScores, record: Mapping[str, Any]) -> SubjectScores:
    """Scores whose means over the frames that both sides have are the scores of the videos on these frames."""
    if is_mean(record):
        return subject
    lacking = np.isnan(subject.a).any(axis=0) | np.isnan(subject.b).any(axis=0)
    sides = [np.where(lacking, np.nan, side) for side in (subject.a, subject.b)]
    return SubjectScores(*(np.stack([contributions(record, row) for row in side]) for side in sides))


def _lacking(scores: NDArray[np.float64]) -> int:
    return int(np.isnan(scores).any(axis=0).sum())
