"""Check finished runs against thresholds: absolute ones, and ones relative to stored scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from emo_bench.errors import UserError
from emo_bench.metrics.aggregation import unknown_rule, video_score
from emo_bench.metrics.comparability import difference
from emo_bench.statistics.confidence import ROUNDING
from emo_bench.statistics.differences import LEVEL, PAIRED_SHARE, SubjectScores, between_seed_spread, compare_scores
from emo_bench.text.closest import closest
from reports.differences import averaged
from reports.gate.stored_scores import Key, MetricScores, ScoredRuns
from reports.gate.thresholds import Threshold, ThresholdFile
from reports.ground import differing_fact, is_measured

UPDATE = "replace the stored scores with --update"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one limit for one metric of one method and actor.

    Attributes:
        runs: title of the runs.
        run: folder of the first run.
        limit: the limit in words.
        value: score of the video, averaged over seeds; None if there is none.
        stored: the same mean of the stored scores, on the frames that both have; None for an absolute limit.
        worse_by: by how much the value is worse than the stored scores or than the absolute limit; negative if it is
            better.
        allowed: how much worse it may be.
        passed: whether the limit is met.
        reason: in words, why the limit is not met.
    """

    runs: str
    run: str
    protocol: str
    metric: str
    unit: str
    direction: str
    limit: str
    value: float | None
    stored: float | None
    worse_by: float | None
    allowed: float | None
    passed: bool
    reason: str


def check_runs(
    groups: Sequence[ScoredRuns], thresholds: ThresholdFile, stored: Mapping[Key, ScoredRuns]
) -> list[Outcome]:
    """Check each threshold on each metric and run that it matches; failures come first.

    Raises:
        UserError: a threshold, or one of its globs, matches nothing.
    """
    outcomes: list[Outcome] = []
    for number, threshold in enumerate(thresholds.threshold, start=1):
        for group in matched(groups, threshold, number):
            for metric in threshold.metrics_of(list(group.metrics)):
                outcomes += _outcomes(group, metric, threshold, stored)
    return sorted(outcomes, key=lambda outcome: outcome.passed)


def matched(groups: Sequence[ScoredRuns], threshold: Threshold, number: int) -> list[ScoredRuns]:
    """The runs that a threshold matches.

    Raises:
        UserError: it, or one of its globs, matches nothing.
    """
    found = [group for group in groups if threshold.matches(group.rows[0])]
    if not found:
        raise UserError(
            f"threshold {number} ({threshold.title}) matches no run: correct it, or give the runs that it is meant for"
        )
    rows = [row for group in found for row in group.rows]
    metrics = [name for group in found for name in group.metrics]
    missing = threshold.unmatched(rows, metrics)
    if missing:
        raise UserError(f"threshold {number} ({threshold.title}): {missing[0]} matches nothing")
    return found


def _outcomes(group: ScoredRuns, metric: str, threshold: Threshold, stored: Mapping[Key, ScoredRuns]) -> list[Outcome]:
    """The outcomes of a threshold's absolute limits and of its relative one."""
    limits = [name for name in ("at_least", "at_most") if getattr(threshold, name) is not None]
    reason = _no_value(group, metric, threshold.frames_share)
    if reason is not None:
        words = [f"{name.replace('_', ' ')} {getattr(threshold, name):g}" for name in limits]
        words += [_allowance(threshold)] if threshold.relative else []
        return [_outcome(group, metric, word, reason=reason) for word in words]
    found = [_absolute(group, metric, name, float(getattr(threshold, name))) for name in limits]
    if threshold.relative:
        found.append(_relative(group, metric, threshold, stored))
    return found


def _no_value(group: ScoredRuns, metric: str, share: float) -> str | None:
    """Why there is no value to compare with a limit; None if there is one."""
    if metric not in group.metrics:
        near = closest(metric, group.metrics)
        guess = f"; did you mean {near}?" if near else ""
        return f"was not measured; the run has {', '.join(group.metrics)}{guess}"
    known = group.metrics[metric]
    if not is_measured(known.record):
        return f"n/a: {known.record['backend']['detail']}"
    defined = ~np.isnan(known.scores)
    if defined.mean(axis=1).min() < share:
        why = known.record.get("undefined")
        lacking = int((~defined).sum(axis=1).max())
        return f"n/a on {lacking} of {defined.shape[1]} frames" + (f": {why}" if why else "")
    return unknown_rule(known.record)


def _absolute(group: ScoredRuns, metric: str, name: str, limit: float) -> Outcome:
    value = _value(group.metrics[metric])
    worse_by = limit - value if name == "at_least" else value - limit
    words = f"{name.replace('_', ' ')} {limit:g}"
    passed = bool(worse_by <= 0)
    side = "below" if name == "at_least" else "above"
    reason = "" if passed else f"{worse_by:.4g} {side} {limit:g}"
    return _outcome(group, metric, words, value=value, worse_by=worse_by, allowed=0.0, reason=reason)


def _relative(group: ScoredRuns, metric: str, threshold: Threshold, stored: Mapping[Key, ScoredRuns]) -> Outcome:
    """The outcome of a relative limit: each frame is compared with the same frame of the stored scores."""
    words, now = _allowance(threshold), group.metrics[metric]
    value = _value(now)
    before = stored.get(group.key)
    obstacle = _incomparable(group, before, metric)
    if obstacle is not None or before is None:
        return _outcome(group, metric, words, value=value, reason=f"{obstacle}: {UPDATE}")
    direction = now.record["direction"]
    both = averaged(SubjectScores(now.scores, before.metrics[metric].scores), now.record)
    with np.errstate(invalid="ignore"):
        # Seeds are averaged here, and the spread below counts them.
        pair = SubjectScores(both.a.mean(axis=0)[None], both.b.mean(axis=0)[None])
    found = compare_scores([pair], direction)
    if found.n < max(2, PAIRED_SHARE * found.n_frames):
        reason = f"only {found.n} of {found.n_frames} frames can be paired with the stored scores"
        return _outcome(group, metric, words, value=value, reason=reason)
    worse_by = 0.0 - found.difference if direction == "higher" else found.difference
    # A withheld interval allows no spread over frames, so that the check is stricter and never blind.
    half = 0.0 if found.withheld else (found.high - found.low) / 2 / float(stats.norm.ppf((1 + LEVEL) / 2))
    spread = _spread(half, both.a, both.b)
    allowed = (
        (threshold.allow or 0.0)
        + (threshold.allow_percent or 0.0) / 100 * abs(found.mean_b)
        + (threshold.allow_spreads or 0.0) * spread
    )
    passed = worse_by <= allowed + ROUNDING * abs(found.mean_b)
    unknown = (
        f"; no spread over frames is known: {found.withheld}" if threshold.allow_spreads and found.withheld else ""
    )
    reason = "" if passed else f"worse by {worse_by:.4g}, allowed {allowed:.4g}{unknown}"
    return _outcome(
        group, metric, words, value=value, stored=found.mean_b, worse_by=worse_by, allowed=allowed, reason=reason
    )


def _spread(over_frames: float, now: np.ndarray, old: np.ndarray) -> float:
    """Standard error of the difference over frames, and between seeds if one side has several."""
    between = between_seed_spread([now, old])
    seeds = 0.0 if math.isnan(between) else between**2 * (1 / len(now) + 1 / len(old))
    return math.sqrt(over_frames**2 + seeds)


def _incomparable(group: ScoredRuns, before: ScoredRuns | None, metric: str) -> str | None:
    """Why the runs cannot be compared with the stored scores; None if they can."""
    if before is None:
        return "no scores are stored for these runs"
    name = differing_fact(group.facts, before.facts)
    if name is not None:
        return f"the stored scores have another {name}"
    if group.frames != before.frames:
        return "the stored scores are of other frames"
    if metric not in before.metrics:
        return f"the stored scores have no {metric}"
    gap = difference(before.metrics[metric].record, group.metrics[metric].record)
    return None if gap is None else f"the stored record differs in {gap}"


def _value(metric: MetricScores) -> float:
    """The score of the video, which is the mean over frames for most metrics, averaged over seeds."""
    return float(np.mean([video_score(metric.record, scores) for scores in metric.scores]))


def _allowance(threshold: Threshold) -> str:
    parts = [
        f"{getattr(threshold, name):g}{unit}"
        for name, unit in (("allow", ""), ("allow_percent", " %"), ("allow_spreads", " spreads"))
        if getattr(threshold, name) is not None
    ]
    return f"at most {' + '.join(parts)} worse than stored"


def _outcome(
    group: ScoredRuns,
    metric: str,
    limit: str,
    *,
    value: float | None = None,
    stored: float | None = None,
    worse_by: float | None = None,
    allowed: float | None = None,
    reason: str = "",
) -> Outcome:
    record = group.metrics[metric].record if metric in group.metrics else {}
    return Outcome(
        runs=group.title, run=group.rows[0].run.path.as_posix(), protocol=dict(group.key)["protocol"],
        metric=metric, unit=record.get("unit", ""), direction=record.get("direction", ""), limit=limit,
        value=value, stored=stored, worse_by=worse_by, allowed=allowed, passed=not reason, reason=reason,
    )  # fmt: skip
