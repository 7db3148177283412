"""Which runs may stand in one table, and which is best there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.methods.registry import TRIVIAL
from emo_bench.metrics.comparability import kind, require_comparable
from emo_bench.runs.finished import FinishedRun
from emo_bench.statistics import Interval, mean_interval

RANKED_SHARE = 0.5
# The paper's table of edits prints SD times 1e-2.
EDIT_SCALES = {"sd": 0.01}


@dataclass(frozen=True)
class Cell:
    """A metric of a run: ``interval`` over all scored frames, ``finite`` over those with a finite score.

    The two differ where frames are identical to the reference and PSNR is infinite; ``infinite`` counts them.
    """

    record: dict[str, Any]
    interval: Interval
    finite: Interval
    infinite: int
    dropped: int


@dataclass(frozen=True)
class Row:
    """A finished run and its cells by metric id."""

    run: FinishedRun

    @property
    def identity(self) -> dict[str, Any]:
        """All that the run's frames depend on."""
        return dict(self.run.manifest["identity"])

    @property
    def stages(self) -> dict[str, Any]:
        """What each stage took."""
        return dict(self.run.manifest["stages"])

    @property
    def title(self) -> str:
        """The method's title and the settings that differ from its profile."""
        settings = self.identity["settings"]
        shown = ", ".join(f"{key}={value}" for key, value in sorted(settings.items()) if not self.trivial)
        return f"{self.run.manifest['title']} ({shown})" if shown else str(self.run.manifest["title"])

    @property
    def trivial(self) -> bool:
        """True for the stand-ins."""
        return self.identity["method"] in TRIVIAL

    @property
    def style(self) -> str:
        """Name of the style of an edit; empty where nothing is edited."""
        return str(self.identity["style"]["name"]) if "style" in self.identity else ""

    @property
    def subject_title(self) -> str:
        """The actor, and the style of an edit."""
        return ", ".join(filter(None, (self.subject[0], self.style)))

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """Actor, its capture, the frames and the style: scores of one subject are of the same frames and wish."""
        identity = self.identity
        return identity["actor"]["name"], identity["actor"]["sha256"], identity["split"]["sha256"], self.style

    @property
    def contestant(self) -> tuple[str, str, str, int]:
        """Method, settings, profile and seed: the same one on another actor is the same contestant."""
        identity = self.identity
        return self.run.manifest["title"], self.title, identity["profile"], identity["seed"]

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By metric id, in the protocol's order."""
        records = self.stages["score"]["records"]
        return {name: _cell(self._shown(name, record), self.scores(name)) for name, record in records.items()}

    def _shown(self, metric: str, record: dict[str, Any]) -> dict[str, Any]:
        scaled = self.style and metric in EDIT_SCALES
        return record | {"unit": f"{record['unit']} / {1 / EDIT_SCALES[metric]:.0f}"} if scaled else record

    def scores(self, metric: str) -> NDArray[np.float64]:
        """``[N]``, one a held-out frame in ascending order, NaN where undefined."""
        scale = EDIT_SCALES.get(metric, 1.0) if self.style else 1.0
        return self.run.scores[metric].to_numpy(dtype=np.float64) * scale


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: one protocol hash, split, resolution and set of backends."""

    rows: tuple[Row, ...]

    @property
    def subjects(self) -> list[list[Row]]:
        """The rows of each actor, methods before stand-ins."""
        by_subject: dict[tuple[str, str, str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            by_subject[row.subject].append(row)
        return [by_subject[subject] for subject in sorted(by_subject, key=_natural)]

    @property
    def metrics(self) -> list[str]:
        """Metric ids of all rows."""
        return list(self.rows[0].cells)

    def complete_contestants(self) -> list[list[Row]]:
        """The rows of those that ran on all of several subjects, each list in one order of subjects."""
        subjects = sorted({row.subject for row in self.rows}, key=_natural)
        by_contestant: dict[tuple[str, str, str, int], dict[tuple[str, ...], Row]] = defaultdict(dict)
        doubled = set()
        for row in self.rows:
            if row.subject in by_contestant[row.contestant]:
                doubled.add(row.contestant)
            by_contestant[row.contestant][row.subject] = row
        return [
            [rows[subject] for subject in subjects]
            for contestant, rows in by_contestant.items()
            if len(subjects) > 1 and len(rows) == len(subjects) and contestant not in doubled
        ]

    def repeated(self) -> list[list[Row]]:
        """Rows that differ in nothing but the seed, on one subject, where there are several."""
        alike: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for rows in self.subjects:
            for row in rows:
                alike[(row.subject, *row.contestant[:-1])].append(row)
        return [rows for rows in alike.values() if len({row.identity["seed"] for row in rows}) > 1]

    def averages(self) -> list[tuple[Row, dict[str, float]]]:
        """Means over the actors of the actors' means, for contestants that ran on all of several actors."""
        return [
            (rows[0], {m: float(np.mean([row.cells[m].interval.mean for row in rows])) for m in self.metrics})
            for rows in self.complete_contestants()
        ]


def group_rows(runs: Iterable[FinishedRun]) -> list[Group]:
    """Sort runs into tables; two runs share one only when their numbers are of the same kind."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for run in runs:
        row = Row(run)
        identity = row.identity
        protocol = identity["protocol"]
        key = (
            run.manifest["smoke"],
            protocol["name"],
            protocol["version"],
            protocol["hash"],
            identity["split"]["name"],
            identity["resolution_px"],
            _kinds(row),
        )
        groups[key].append(row)
    ordered = [groups[key] for key in sorted(groups, key=repr)]
    return [Group(tuple(sorted(rows, key=lambda row: (row.trivial, row.contestant)))) for rows in ordered]


def best_rows(rows: Sequence[Row], metric: str) -> set[int]:
    """Positions of the best of one subject's rows; see :func:`rank_rows`."""
    return {position for position, rank in rank_rows(rows, metric).items() if rank == 1}


def rank_rows(rows: Sequence[Row], metric: str) -> dict[int, int]:
    """Ranks from 1 by position of one subject's rows, on the frames that all ranked rows have a score for.

    Equal means share a rank and the next one follows it. A row that has a score on less than ``RANKED_SHARE`` of the
    frames is not ranked, so that it cannot take the frames from the others. Empty where there is nothing to compare.

    Raises:
        UserError: the rows' scores are of different kinds.
    """
    means = _common_means(rows, metric)
    return _ranks(means, rows[0].cells[metric].record["direction"]) if len(rows) > 1 else {}


def rank_averages(contestants: Sequence[Sequence[Row]], metric: str) -> dict[int, int]:
    """Ranks as :func:`rank_rows` of contestants that each have one row a subject, in one order of subjects.

    Means are over the subjects' means on the frames that all of them have; a contestant that is not ranked on one
    subject is not ranked.
    """
    per_subject = [_common_means(rows, metric) for rows in zip(*contestants, strict=True)]
    ranked = [i for i in range(len(contestants)) if all(i in means for means in per_subject)]
    averages = {i: float(np.mean([means[i] for means in per_subject])) for i in ranked}
    return _ranks(averages, contestants[0][0].cells[metric].record["direction"]) if len(ranked) > 1 else {}


def average_ranks(group: Group) -> dict[str, dict[int, int]]:
    """:func:`rank_averages` of each metric; positions are those of ``Group.averages``."""
    contestants = group.complete_contestants()
    return {metric: rank_averages(contestants, metric) for metric in group.metrics}


def _common_means(rows: Sequence[Row], metric: str) -> dict[int, float]:
    """Means by position, on the frames that all rows with enough scores have."""
    require_comparable([row.cells[metric].record for row in rows])
    scores = np.stack([row.scores(metric) for row in rows])
    ranked = np.flatnonzero((~np.isnan(scores)).mean(axis=1) >= RANKED_SHARE)
    common = scores[ranked][:, ~np.isnan(scores[ranked]).any(axis=0)]
    if not common.size:
        return {}
    return {int(i): float(mean) for i, mean in zip(ranked, common.mean(axis=1), strict=True)}


def _ranks(means: dict[int, float], direction: str) -> dict[int, int]:
    ordered = sorted(set(means.values()), reverse=direction == "higher")
    return {position: ordered.index(mean) + 1 for position, mean in means.items()}


def _cell(record: dict[str, Any], scores: NDArray[np.float64]) -> Cell:
    infinite = np.isinf(scores)
    interval = mean_interval(scores)
    return Cell(
        record=record,
        interval=interval,
        finite=mean_interval(np.where(infinite, np.nan, scores)) if infinite.any() else interval,
        infinite=int(infinite.sum()),
        dropped=int(np.isnan(scores).sum()),
    )


def _kinds(row: Row) -> tuple[Any, ...]:
    return tuple(kind(record) for record in row.stages["score"]["records"].values())


def _natural(subject: tuple[str, str, str, str]) -> tuple[Any, ...]:
    """Actors 2 before 10."""
    name = subject[0]
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, *subject)
