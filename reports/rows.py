"""A finished run as a row of a table: its identity, its scores, and one cell for each metric."""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.methods.clip_method import AVATAR, GIVEN_FRAMES, VIDEO_EDITOR
from emo_bench.methods.interface import GIVEN_PROFILE
from emo_bench.methods.registry import UNEDITED
from emo_bench.metrics.aggregation import averages, contributions, is_mean, no_score, unknown_rule, video_score
from emo_bench.runs.checksums import NO_CHECKSUMS, missing_checksums
from emo_bench.runs.finished import FinishedRun, find_runs, load_run, open_runs
from emo_bench.runs.manifest import MANIFEST, shown_capture
from emo_bench.statistics import Interval, mean_interval
from reports.ground import Contestant, Subject, contestant_of, facts, is_trivial, subject_of

# The paper's table of edits prints SD times 1e-2.
EDIT_SCALES = {"sd": 0.01}


@dataclass(frozen=True)
class Cell:
    """A metric of a run: ``interval`` is over all scored frames, ``finite`` over those with a finite score.

    Its mean is the metric's score of the video, which is not the mean over frames for every metric. The two intervals
    differ if frames are identical to the reference, because their PSNR is infinite. ``infinite`` counts these frames,
    ``dropped`` counts the frames without a score, ``frames`` counts all. ``reason`` says why there is no score of the
    video, and is empty if there is one.
    """

    record: dict[str, Any]
    interval: Interval
    finite: Interval
    infinite: int
    dropped: int
    frames: int
    reason: str

    @property
    def scored_share(self) -> float:
        """The share of the frames that have a score."""
        return 1.0 - self.dropped / max(self.frames, 1)


@dataclass(frozen=True)
class Row:
    """A finished run and its cells; ``known`` has those of :func:`plain_cells`, if they are known already."""

    run: FinishedRun
    known: Mapping[str, Cell] = field(default_factory=dict, repr=False, compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the run's frames depend on."""
        found: dict[str, Any] = self.run.manifest["identity"]
        return found

    @property
    def stages(self) -> dict[str, Any]:
        """The manifest's entry for each stage: seconds, memory, machine."""
        found: dict[str, Any] = self.run.manifest["stages"]
        return found

    @cached_property
    def title(self) -> str:
        """The method's title, and the settings that differ from its profile."""
        settings = self.identity["settings"]
        shown = ", ".join(f"{key}={value}" for key, value in sorted(settings.items()) if not self.trivial)
        return f"{self.run.manifest['title']} ({shown})" if shown else str(self.run.manifest["title"])

    @property
    def trivial(self) -> bool:
        """Whether the method is a trivial one."""
        return is_trivial(self.run)

    @property
    def unedited(self) -> bool:
        """Whether the frames are the recorded ones, as a row of a table of edits; such a row is not ranked."""
        return bool(self.identity["method"] == UNEDITED)

    @property
    def style(self) -> str:
        """The name of an edit's style; empty if nothing was edited."""
        return self.subject.style

    @property
    def driver(self) -> str:
        """The name of the actor who drives the avatar; empty if nobody else does."""
        return str(self.run.manifest["identity"].get("driver", {}).get("name", ""))

    @property
    def other_views(self) -> bool:
        """Whether the frames are seen by other cameras than the one that filmed."""
        return "views_capture" in self.run.manifest

    @property
    def truth_metrics(self) -> tuple[str, ...]:
        """The metrics that compare with the true pictures of a driven avatar; none if there are no such pictures."""
        truth = self.run.manifest.get("truth", {})
        return tuple(truth["metrics"]) if truth.get("shown") else ()

    @property
    def compared_with(self) -> str:
        """What the preview shows before the rendered frame: ``truth``, the ``driver`` or the ``source``."""
        if self.truth_metrics or self.other_views:
            return "truth"
        return "driver" if self.driver else "source"

    @property
    def fps(self) -> float:
        """Frames per second of the scored frames."""
        return float(shown_capture(self.run.manifest)["fps"])

    @property
    def kind(self) -> str:
        """The kind of what made the frames, see :mod:`emo_bench.methods.clip_method`."""
        # Runs of older versions do not say it, and there were no video editors then.
        known = GIVEN_FRAMES if self.identity["profile"] == GIVEN_PROFILE else AVATAR
        return str(self.run.manifest.get("kind", known))

    @property
    def memory_mib(self) -> float | None:
        """Peak memory of the fit, or of the edit if nothing was fitted, in MiB; None if it was not measured."""
        found: float | None = self.stages["render" if self.kind == VIDEO_EDITOR else "fit"].get("memory_mib")
        return found

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.identity["seed"])

    @property
    def subject_title(self) -> str:
        """The actor, and the style of an edit."""
        return ", ".join(filter(None, (self.subject.actor, self.style)))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What must agree before scores are compared, see :mod:`reports.ground`."""
        return facts(self.run)

    @cached_property
    def subject(self) -> Subject:
        """What was filmed and asked for."""
        return subject_of(self.run)

    @cached_property
    def contestant(self) -> Contestant:
        """What made the frames; the seed is no part of it."""
        return contestant_of(self.run)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by metric id, in the protocol's order."""
        records = self.stages["score"]["records"]
        return {name: self._cell(name, self._shown(name, record)) for name, record in records.items()}

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of the scored frames, ascending."""
        return tuple(map(int, self.run.scores.index))

    def scores(self, metric: str) -> NDArray[np.float64]:
        """``[N]``, one score for each held-out frame in ascending order; NaN if it is undefined."""
        scale = EDIT_SCALES.get(metric) if self.style else None
        return self._columns[metric] if scale is None else self._columns[metric] * scale

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.float64]]:
        """The columns of the table; to take one from the table itself, pandas would copy all records of the run."""
        table = self.run.scores
        values = table.to_numpy(dtype=np.float64)
        values.setflags(write=False)
        return {name: values[:, place] for place, name in enumerate(table.columns)}

    def _cell(self, metric: str, record: dict[str, Any]) -> Cell:
        found = self.known.get(metric)
        return _cell(record, self.scores(metric)) if found is None else replace(found, record=record)

    def _shown(self, metric: str, record: dict[str, Any]) -> dict[str, Any]:
        scaled = self.style and metric in EDIT_SCALES
        return record | {"unit": f"{record['unit']} / {1 / EDIT_SCALES[metric]:.0f}"} if scaled else record


def read_rows(
    paths: Sequence[Path], method: str | None = None, *, finished_only: bool = True, notes: list[str] | None = None
) -> list[Row]:
    """The finished runs at the given paths. The folder of a run gives this run, another folder all runs below it.

    Args:
        paths: folders.
        method: a glob that the name of the method must match.
        finished_only: leave out unfinished and damaged runs below a folder, instead of raising an error.
        notes: gets a line for each damaged run that is left out.

    Raises:
        UserError: there is no such run, or a run that was given by its own folder is unfinished or damaged.
    """
    runs: dict[Path, FinishedRun] = {}
    for path in paths:
        folders = [path] if (path / MANIFEST).is_file() else find_runs([path])
        if path in folders or not finished_only:
            runs |= {folder: load_run(folder) for folder in folders}
            continue
        opened = open_runs(folders)
        runs |= {run.path: run for run in opened.finished}
        if notes is not None:
            notes += [f"left out: {reason}" for reason in opened.damaged.values()]
    rows = [Row(run) for run in runs.values()]
    chosen = [row for row in rows if method is None or fnmatch.fnmatchcase(row.identity["method"], method)]
    if not chosen:
        where = ", ".join(map(str, paths))
        raise UserError(f"{where}: no finished run" + (f" of a method like {method!r}" if method and rows else ""))
    return chosen


def without_checksums(rows: Sequence[Row]) -> list[str]:
    """A note if changes of some of these runs cannot be noticed, because older versions stored no checksums."""
    lacking = sum(missing_checksums(row.run.manifest) is not None for row in rows)
    if not lacking:
        return []
    of = f"{lacking} of {len(rows)} runs" if len(rows) > 1 else "this run"
    return [f"{of}: {NO_CHECKSUMS} (made by an older version), so a changed score would not be noticed."]


def repeats(rows: Iterable[Row]) -> dict[Contestant, dict[Subject, tuple[Row, ...]]]:
    """Rows by contestant and subject, each tuple in the order of the seeds."""
    found: dict[Contestant, dict[Subject, tuple[Row, ...]]] = {}
    for row in rows:
        by_subject = found.setdefault(row.contestant, {})
        by_subject[row.subject] = (*by_subject.get(row.subject, ()), row)
    return {
        contestant: {subject: tuple(sorted(own, key=lambda row: row.seed)) for subject, own in by_subject.items()}
        for contestant, by_subject in found.items()
    }


def row_names(rows: Sequence[Row]) -> dict[Row, str]:
    """Each row's title, with the profile and the seed if another row of the subject has the same title."""
    alike = Counter((row.title, row.subject) for row in rows)
    return {
        row: f"{row.title} ({row.identity['profile']}, seed {row.seed})"
        if alike[row.title, row.subject] > 1
        else row.title
        for row in rows
    }


def same_seed(rows: Iterable[Row]) -> tuple[Row, Row] | None:
    """The first two of a contestant's runs on one subject that have the same seed; None if all seeds differ."""
    by_seed: dict[int, Row] = {}
    for row in rows:
        other = by_seed.setdefault(row.seed, row)
        if other is not row:
            return other, row
    return None


def plain_cells(run: FinishedRun) -> dict[str, Cell]:
    """The cells of the metrics that need nothing but the run, without their records; see :attr:`Row.known`.

    A metric that does not average, and one that has no score at all, may ask its own class, which may be a plug-in.
    """
    row = Row(run)
    records = run.manifest["stages"]["score"]["records"]
    chosen = [name for name, record in records.items() if averages(record) and not np.isnan(row.scores(name)).all()]
    return {name: replace(_cell(records[name], row.scores(name)), record={}) for name in chosen}


def _cell(record: dict[str, Any], scores: NDArray[np.float64]) -> Cell:
    infinite = np.isinf(scores)
    interval = video_interval(record, scores)
    return Cell(
        record=record,
        interval=interval,
        finite=video_interval(record, np.where(infinite, np.nan, scores)) if infinite.any() else interval,
        infinite=int(infinite.sum()),
        dropped=int(np.isnan(scores).sum()),
        frames=len(scores),
        reason=no_score(record, scores) if np.isnan(interval.mean) else "",
    )


def video_interval(record: Mapping[str, Any], scores: NDArray[np.float64]) -> Interval:
    """The metric's score of the video, with the interval of its mean over frames or of what takes its place."""
    found = mean_interval(contributions(record, scores))
    if unknown_rule(record):
        known = record.get("video_score")
        n = int((~np.isnan(scores)).sum())
        return replace(found, mean=math.nan if known is None else float(known), n=n)
    return found if is_mean(record) else replace(found, mean=video_score(record, scores))
