"""Compare two sides metric by metric: is A better, worse or undecided, and by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.aggregation import no_score, unknown_rule
from emo_bench.metrics.comparability import difference
from emo_bench.statistics.differences import LEVEL, Difference, SubjectScores
from reports.compare.sides import GROUND, Side
from reports.differences import compare_videos, frames_lacking
from reports.ground import Subject, is_measured
from reports.numbers import finite
from reports.rows import Row


@dataclass(frozen=True)
class MetricResult:
    """One metric of side A against side B.

    Attributes:
        overall: the difference over all actors; None if the metric is not compared, and ``reason`` says why.
        by_actor: the difference for each actor, if there are several.
        lacking: the number of frames without a score, of A and of B.
        undefined: in words, why a frame has no score.
    """

    metric: str
    direction: str
    unit: str
    backend: str
    overall: Difference | None
    by_actor: dict[str, Difference]
    reason: str = ""
    lacking: tuple[int, int] = (0, 0)
    undefined: str = ""


@dataclass(frozen=True)
class Comparison:
    """Side A against side B on one ground."""

    a: Side
    b: Side
    results: tuple[MetricResult, ...]

    @property
    def ground(self) -> dict[str, Any]:
        """What both sides share: protocol, split, resolution, style."""
        return {name: self.a.rows[0].facts[name] for name in GROUND}

    @property
    def actors(self) -> list[str]:
        """The actors that both sides have."""
        return list(_actor_names(self.a))


def compare_sides(a: Side, b: Side, level: float = LEVEL) -> Comparison:
    """Compare two sides that have the same subjects.

    A metric is not compared if its records differ in kind (backend, version, resolution, ...). Its result says why.

    Raises:
        UserError: no metric can be compared.
    """
    names = dict.fromkeys(name for row in (*a.rows, *b.rows) for name in row.cells)
    results = tuple(_result(a, b, name, level) for name in names)
    if all(result.overall is None for result in results):
        first = results[0]
        raise UserError(
            f"{a.rows[0].run.path} and {b.rows[0].run.path} have no comparable metric; {first.metric}: {first.reason}"
        )
    return Comparison(a, b, results)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values; NaN and infinity become None."""
    return {
        "a": {"name": comparison.a.name, "runs": [row.run.path.as_posix() for row in comparison.a.rows]},
        "b": {"name": comparison.b.name, "runs": [row.run.path.as_posix() for row in comparison.b.rows]},
        **comparison.ground,
        "actors": comparison.actors,
        "metrics": [
            {
                "metric": result.metric,
                "direction": result.direction,
                "unit": result.unit,
                "backend": result.backend,
                "reason": result.reason,
                "frames_without_score": dict(zip("ab", result.lacking, strict=True)),
                **({} if result.overall is None else finite(dataclasses.asdict(result.overall))),
                "by_actor": {actor: finite(dataclasses.asdict(found)) for actor, found in result.by_actor.items()},
            }
            for result in comparison.results
        ],
    }


def _result(a: Side, b: Side, metric: str, level: float) -> MetricResult:
    cells = [row.cells[metric].record for row in (*a.rows, *b.rows) if metric in row.cells]
    record = cells[0]
    about = (metric, record["direction"], record["unit"], record["backend"]["name"])
    reason = _obstacle([*a.rows, *b.rows], metric)
    if reason is not None:
        return MetricResult(*about, None, {}, reason)
    subjects = {actor: _scores(a, b, subject, metric) for actor, subject in _actor_names(a).items()}
    overall = compare_videos(list(subjects.values()), record, level)
    each = {
        actor: compare_videos([scores], record, level)
        for actor, scores in (subjects.items() if len(subjects) > 1 else ())
    }
    lacking = frames_lacking(list(subjects.values()))
    return MetricResult(*about, overall, each, lacking=lacking, undefined=record.get("undefined", ""))


def _actor_names(side: Side) -> dict[str, Subject]:
    """Subjects by actor; if an actor has several captures, the name also has the start of the capture's hash."""
    names = [subject.actor for subject in side.by_subject]
    return {
        subject.actor if names.count(subject.actor) == 1 else f"{subject.actor} {subject.actor_sha256[:8]}": subject
        for subject in side.by_subject
    }


def _obstacle(rows: Sequence[Row], metric: str) -> str | None:
    """Why the runs' scores of a metric cannot be compared; None if they can."""
    for row in rows:
        if metric not in row.cells:
            return f"not measured in {row.run.path}"
        record = row.cells[metric].record
        if not is_measured(record):
            return f"n/a in {row.run.path}: {record['backend']['detail']}"
        gap = difference(rows[0].cells[metric].record, record)
        if gap is not None:
            return f"not comparable: {gap}"
        if np.isnan(row.scores(metric)).all():
            return f"n/a: no frame of {row.run.path} has a score: {no_score(record, row.scores(metric))}"
        unknown = unknown_rule(record)
        if unknown is not None:
            return f"not comparable: {unknown}"
    return None


def _scores(a: Side, b: Side, subject: Subject, metric: str) -> SubjectScores:
    """The scores of both sides on one subject. Its split gives the frames, so they are the same in all runs."""
    stacked = []
    frames = a.by_subject[subject][0].frames
    for side in (a, b):
        rows = side.by_subject[subject]
        for row in rows:
            if row.frames != frames:
                raise UserError(f"{row.run.path} has scores of other frames than its split: make the run again")
        stacked.append(np.stack([row.scores(metric) for row in rows]))
    return SubjectScores(*stacked)
