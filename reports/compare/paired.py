"""Two sides of finished runs compared metric by metric: better, worse or undecided, and by how much."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.comparability import difference
from emo_bench.statistics.differences import LEVEL, Difference, SubjectScores, compare_scores
from reports.compare.sides import GROUND, Side, facts
from reports.comparison import Row

NOT_HERE = "n/a"


@dataclass(frozen=True)
class MetricResult:
    """A metric of side A against side B; ``by_actor`` where there are several. ``reason``: why it is not compared."""

    metric: str
    direction: str
    unit: str
    backend: str
    overall: Difference | None
    by_actor: dict[str, Difference]
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Side A against side B on one ground."""

    a: Side
    b: Side
    results: tuple[MetricResult, ...]

    @property
    def ground(self) -> dict[str, Any]:
        """Protocol, split, resolution, style: what both sides share."""
        known = facts(self.a.rows[0])
        return {name: known[name] for name in GROUND}

    @property
    def actors(self) -> list[str]:
        """Those that both sides have."""
        return list(_actor_names(self.a))


def compare_sides(a: Side, b: Side, level: float = LEVEL) -> Comparison:
    """Compare two sides on their common subjects, which must be the same.

    A metric whose records differ in kind anywhere (backend, version, resolution, ...) is not compared, with the reason.

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
    """Plain values; NaN and infinity as None."""
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
                **({} if result.overall is None else _plain(result.overall)),
                "by_actor": {actor: _plain(found) for actor, found in result.by_actor.items()},
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
    overall = compare_scores(list(subjects.values()), record["direction"], level=level)
    each = {
        actor: compare_scores([scores], record["direction"], level=level)
        for actor, scores in (subjects.items() if len(subjects) > 1 else ())
    }
    return MetricResult(*about, overall, each)


def _actor_names(side: Side) -> dict[str, tuple[str, str, str]]:
    """Subjects by actor; the capture's hash is added where an actor has several."""
    names = [subject[0] for subject in side.by_subject]
    return {
        subject[0] if names.count(subject[0]) == 1 else f"{subject[0]} {subject[1][:8]}": subject
        for subject in side.by_subject
    }


def _obstacle(rows: Sequence[Row], metric: str) -> str | None:
    """Why the runs' scores of a metric must not be compared."""
    for row in rows:
        if metric not in row.cells:
            return f"not measured in {row.run.path}"
        record = row.cells[metric].record
        if record["backend"]["name"] == NOT_HERE:
            return f"n/a in {row.run.path}: {record['backend']['detail']}"
        gap = difference(rows[0].cells[metric].record, record)
        if gap is not None:
            return f"not comparable: {gap}"
        if np.isnan(row.scores(metric)).all():
            return f"n/a: no frame of {row.run.path} has a score"
    return None


def _scores(a: Side, b: Side, subject: tuple[str, str, str], metric: str) -> SubjectScores:
    """Of both sides; the frames are the same because the split is."""
    stacked = []
    frames = a.by_subject[subject][0].run.scores.index
    for side in (a, b):
        rows = side.by_subject[subject]
        for row in rows:
            if not row.run.scores.index.equals(frames):
                raise UserError(f"{row.run.path} has scores of other frames than its split says: run again")
        stacked.append(np.stack([row.scores(metric) for row in rows]))
    return SubjectScores(*stacked)


def _plain(found: Difference) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in dataclasses.asdict(found).items()
    }
