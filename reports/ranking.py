"""Tables of runs that share a ground, and the ranks within them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.aggregation import unknown_rule, video_score
from emo_bench.metrics.comparability import difference, kind, require_comparable
from emo_bench.runs.finished import FinishedRun
from emo_bench.statistics.confidence import ROUNDING
from reports.ground import Subject, is_measured, table_key
from reports.rows import Cell, Row, repeats, same_seed

# A row with a score on a smaller share of the frames is not ranked.
RANKED_SHARE = 0.5
# Neither is a row that lacks more than this share of the frames that another row has: it could win by failing where
# the others are bad.
LOST_SHARE = 0.05


@dataclass(frozen=True)
class Average:
    """A contestant that ran on all of several subjects.

    Attributes:
        rows: its repeats on each subject, in the table's order of subjects.
        means: by metric, one mean for each subject: the mean of the repeats' means.
        ranks: by metric, from 1; None for a contestant that is not ranked.
    """

    rows: tuple[tuple[Row, ...], ...]
    means: dict[str, list[float]]
    ranks: dict[str, int | None]

    @property
    def first(self) -> Row:
        """One of its rows: title, method and profile are the same in all of them."""
        return self.rows[0][0]

    @property
    def seeds(self) -> list[int]:
        """All its seeds, ascending."""
        return sorted({row.seed for rows in self.rows for row in rows})

    def mean(self, metric: str) -> float:
        """The mean over subjects, which have equal weight."""
        return float(np.mean(self.means[metric]))

    def scored_share(self, metric: str) -> float:
        """The share of the frames that have a score, over all its runs."""
        return float(np.mean([row.cells[metric].scored_share for rows in self.rows for row in rows]))


@dataclass(frozen=True)
class Standing:
    """What the ranks of one subject's rows depend on, for one metric.

    Attributes:
        obstacle: why they are not ranked, see :func:`obstacle`.
        few: the rows that are not ranked because they lack scores, see :func:`few_scores`.
        common: ``[N]``, the frames for which all ranked rows have a score.
        all_frames: whether every ranked row has a score on these frames only.
    """

    obstacle: str | None
    few: dict[int, float]
    common: NDArray[np.bool_]
    all_frames: bool


@dataclass(frozen=True)
class Group:
    """The rows of one table: they have the same :func:`reports.ground.table_key`."""

    rows: tuple[Row, ...]

    @cached_property
    def subjects(self) -> list[list[Row]]:
        """The rows of each subject, trivial methods last."""
        by_subject: dict[Subject, list[Row]] = defaultdict(list)
        for row in self.rows:
            by_subject[row.subject].append(row)
        return [by_subject[subject] for subject in sorted(by_subject, key=_natural)]

    @property
    def metrics(self) -> list[str]:
        """Metric ids of all rows."""
        return list(self.rows[0].cells)

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds of what made the frames, for a table of edits; empty for another, whose rows are all avatars."""
        return sorted({row.kind for row in self.rows}) if any(row.style for row in self.rows) else []

    @cached_property
    def incomplete(self) -> list[str]:
        """The metrics for which a row has no score on some frames; a table says on which share of them it has one.

        The first frame does not count: no metric of neighbouring frames has a score there.
        """
        return [
            metric
            for metric in self.metrics
            if is_measured(self.rows[0].cells[metric].record)
            and any(np.isnan(row.scores(metric)[1:]).any() for row in self.rows if not row.unedited)
        ]

    @cached_property
    def ranked(self) -> list[list[tuple[Row, dict[str, int | None]]]]:
        """The rows of each subject with their ranks by metric, see :func:`rank_rows`; None for a row without a rank."""
        found = []
        for position, rows in enumerate(self.subjects):
            several = len(edited(rows)) > 1
            ranks = {m: rank_rows(rows, m, self.standing(position, m)) if several else {} for m in self.metrics}
            found.append([(row, {m: ranks[m].get(i) for m in ranks}) for i, row in enumerate(rows)])
        return found

    def standing(self, position: int, metric: str) -> Standing:
        """Return what the ranks of one of :attr:`subjects` depend on; it is found once for all parts of a report.

        Raises:
            UserError: the rows' scores are of different kinds.
        """
        known = self._standings.get((position, metric))
        if known is None:
            known = self._standings[position, metric] = find_standing(edited(self.subjects[position]), metric)
        return known

    @cached_property
    def _standings(self) -> dict[tuple[int, str], Standing]:
        return {}

    @cached_property
    def averages(self) -> list[Average]:
        """The contestants that ran on every subject, if there are several subjects.

        The seed tells repeats of a contestant apart, so repeats on one subject are averaged first. A contestant that
        has the same seed twice on one subject is left out: the two runs disagree on what it is.
        """
        subjects = [rows[0].subject for rows in self.subjects]
        complete = [
            tuple(by_subject[subject] for subject in subjects)
            for by_subject in repeats(self.rows).values()
            if len(subjects) > 1 and len(by_subject) == len(subjects) and not any(map(same_seed, by_subject.values()))
        ]
        ranks = {metric: _rank_averages(complete, metric) for metric in self.metrics}
        return [
            Average(
                rows,
                {m: [float(np.mean([row.cells[m].interval.mean for row in own])) for own in rows] for m in ranks},
                {m: by_position.get(position) for m, by_position in ranks.items()},
            )
            for position, rows in enumerate(complete)
        ]

    def repeated(self) -> list[tuple[Row, ...]]:
        """The repeats of each contestant on each subject, where there are several seeds."""
        found = [own for rows in self.subjects for by_subject in repeats(rows).values() for own in by_subject.values()]
        return [own for own in found if len({row.seed for row in own}) > 1]


def group_rows(
    runs: Iterable[FinishedRun], known: Mapping[FinishedRun, Mapping[str, Cell]] | None = None
) -> list[Group]:
    """Sort runs into tables by :func:`reports.ground.table_key`; ``known`` has cells, see :attr:`Row.known`."""
    known = known or {}
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for run in runs:
        groups[table_key(run)].append(Row(run, known.get(run, {})))
    ordered = [groups[key] for key in sorted(groups, key=repr)]
    return [Group(tuple(sorted(rows, key=_place))) for rows in ordered]


def best_rows(rows: Sequence[Row], metric: str) -> set[int]:
    """Positions of the best of one subject's rows; see :func:`rank_rows`."""
    return {position for position, rank in rank_rows(rows, metric).items() if rank == 1}


def rank_rows(rows: Sequence[Row], metric: str, known: Standing | None = None) -> dict[int, int]:
    """Ranks from 1 by position, for the rows of one subject, on the frames for which all ranked rows have a score.

    Rows that edit nothing have no rank. Each run is a row of its own, also if another row is a repeat of it with
    another seed. Equal means share a rank and the next rank follows without a gap. A row that lacks scores is not
    ranked, see :func:`few_scores`, so that it does not take frames from the others. Empty if there is only one row, or
    if the scores cannot be ranked, see :func:`obstacle`.

    Args:
        rows: the rows of one subject.
        metric: its id.
        known: the result of :func:`find_standing`, if a caller has it already.

    Raises:
        UserError: the rows' scores are of different kinds.
    """
    places = [i for i, row in enumerate(rows) if not row.unedited]
    compared = edited(rows)
    if len(compared) < 2:
        return {}
    known = known or find_standing(compared, metric)
    if known.obstacle is not None:
        return {}
    means = _means_on([[row] for row in compared], metric, known.few, known.common)
    ranks = _ranks(means, compared[0].cells[metric].record["direction"])
    return {places[i]: rank for i, rank in ranks.items()}


def edited(rows: Sequence[Row]) -> list[Row]:
    """The rows that may have a rank: those that are not the recorded frames themselves."""
    return [row for row in rows if not row.unedited]


def find_standing(rows: Sequence[Row], metric: str) -> Standing:
    """Return what the ranks of one subject's rows depend on.

    Raises:
        UserError: the rows' scores are of different kinds.
    """
    gap = obstacle(rows, metric)
    defined = _defined([[row] for row in rows], metric)
    few = few_scores(defined)
    common = common_frames(defined, few)
    return Standing(gap, few, common, bool((np.delete(defined, list(few), axis=0) == common).all()))


def obstacle(rows: Sequence[Row], metric: str) -> str | None:
    """Why the rows of one subject are not ranked, although they share a table; None if they are.

    Examples are another reference, or other captions of a style that has the same name.

    Raises:
        UserError: the rows' scores are of different kinds.
    """
    # Runs that were read together share equal records, so there are few different ones.
    records = list({id(record): record for row in rows for record in (row.cells[metric].record,)}.values())
    if len({kind(record) for record in records}) > 1:
        require_comparable(records)
    gap = next((gap for record in records if (gap := difference(records[0], record)) is not None), None)
    return f"the records differ in {gap}" if gap else unknown_rule(records[0])


def few_scores(defined: NDArray[np.bool_]) -> dict[int, float]:
    """The contestants that are not ranked because they lack scores: the share of frames with one, by position.

    Args:
        defined: ``[C, N]``, the frames of one subject for which each contestant has a score.
    """
    shares = defined.mean(axis=1)
    least = max(RANKED_SHARE, float(shares.max()) - LOST_SHARE)
    return {i: float(share) for i, share in enumerate(shares) if share < least - ROUNDING}


def common_frames(defined: NDArray[np.bool_], few: Iterable[int]) -> NDArray[np.bool_]:
    """``[N]``: the frames for which all contestants but those of :func:`few_scores` have a score."""
    ranked = np.delete(defined, list(few), axis=0)
    return np.asarray(ranked.all(axis=0)) & bool(len(ranked))


def _rank_averages(contestants: Sequence[Sequence[Sequence[Row]]], metric: str) -> dict[int, int]:
    """Ranks as :func:`rank_rows`, by the mean over subjects. A contestant without a rank on one subject has none."""
    places = [i for i, repeated in enumerate(contestants) if not repeated[0][0].unedited]
    contestants = [contestants[i] for i in places]
    by_subject = [[row for own in repeated for row in own] for repeated in zip(*contestants, strict=True)]
    if any(obstacle(rows, metric) is not None for rows in by_subject):
        return {}
    per_subject = [_common_means(repeated, metric) for repeated in zip(*contestants, strict=True)]
    ranked = [i for i in range(len(contestants)) if all(i in means for means in per_subject)]
    averages = {i: float(np.mean([means[i] for means in per_subject])) for i in ranked}
    if len(ranked) < 2:
        return {}
    ranks = _ranks(averages, contestants[0][0][0].cells[metric].record["direction"])
    return {places[i]: rank for i, rank in ranks.items()}


def _common_means(contestants: Sequence[Sequence[Row]], metric: str) -> dict[int, float]:
    """Means by position, on the frames for which all contestants with enough scores have one.

    Args:
        contestants: the repeats of each contestant on one subject; the scores of their videos are averaged.
        metric: its id.
    """
    defined = _defined(contestants, metric)
    few = few_scores(defined)
    return _means_on(contestants, metric, few, common_frames(defined, few))


def _means_on(
    contestants: Sequence[Sequence[Row]], metric: str, few: dict[int, float], common: NDArray[np.bool_]
) -> dict[int, float]:
    """Means by position on the frames ``common``, without the contestants of ``few``."""
    if not common.any():
        return {}
    whole = bool(common.all())

    def mean(row: Row) -> float:
        # On all frames it is the score of the video, which is known.
        cell = row.cells[metric]
        return cell.interval.mean if whole else video_score(cell.record, np.where(common, row.scores(metric), np.nan))

    return {i: float(np.mean(list(map(mean, rows)))) for i, rows in enumerate(contestants) if i not in few}


def _defined(contestants: Sequence[Sequence[Row]], metric: str) -> NDArray[np.bool_]:
    """``[C, N]``: the frames for which all repeats of a contestant have a score."""
    if all(len(rows) == 1 for rows in contestants):
        return ~np.isnan([rows[0].scores(metric) for rows in contestants])
    return np.stack([~np.isnan([row.scores(metric) for row in rows]).any(axis=0) for rows in contestants])


def _ranks(means: dict[int, float], direction: str) -> dict[int, int]:
    ordered = sorted(set(means.values()), reverse=direction == "higher")
    ranks = {mean: rank for rank, mean in enumerate(ordered, start=1)}
    return {position: ranks[mean] for position, mean in means.items()}


def _place(row: Row) -> tuple[Any, ...]:
    """Order of the rows of a table."""
    return row.trivial, row.unedited, row.run.manifest["title"], row.title, row.identity["profile"], row.seed


def _natural(subject: Subject) -> tuple[Any, ...]:
    """Order of subjects: actor 2 before actor 10."""
    name = subject.actor
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, *subject)
