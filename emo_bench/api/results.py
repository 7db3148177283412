"""What the calls of :mod:`emo_bench` return."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench.api.arguments import checked
from emo_bench.metrics.metric import NO_BACKEND
from emo_bench.runs.finished import FinishedRun

if TYPE_CHECKING:
    import pandas

    from reports.ranking import Group


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(FinishedRun):
    """A run that was made, with what was made beside it.

    Attributes:
        path: the run's folder.
        manifest: the content of ``run.json``.
        scores: one row per held-out frame, one column per metric, float64.
        edited: the edits that were asked for, in order: those of the fitted avatar, or the runs of a video editor, the
            first of which is this run.
        trivial: the runs of the trivial methods, on the same frames.
        report: the file ``report.md`` that shows all of these.
        pairs: the runs with the other drivers of a protocol of cross-reenactment, if no driver was named.
    """

    edited: tuple[FinishedRun, ...]
    trivial: tuple[FinishedRun, ...]
    report: Path
    pairs: tuple[FinishedRun, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The folders of the run, of the other drivers, of the trivial methods and of the edits."""
        return list(dict.fromkeys(run.path for run in (self, *self.pairs, *self.trivial, *self.edited)))

    @property
    def edit(self) -> FinishedRun | None:
        """The first of :attr:`edited`; None if there is none."""
        return self.edited[0] if self.edited else None


@dataclass(frozen=True, eq=False, repr=False)
class FrameScores:
    """Scores of frames.

    Attributes:
        scores: one row per frame, one column per metric, float64; NaN where a frame has no score.
    """

    scores: pandas.DataFrame

    def __repr__(self) -> str:
        return f"FrameScores({len(self.scores)} frames, {', '.join(self.scores.columns)})"

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """How each metric was measured: version, unit, direction, backend, region and more, by the metric's id."""
        found: dict[str, dict[str, Any]] = self.scores.attrs["records"]
        return found

    @property
    def means(self) -> dict[str, float]:
        """The score of the whole video, by the metric's id; NaN where no frame has a score."""
        from emo_bench.metrics.aggregation import video_scores

        return video_scores(self.scores)

    @property
    def reasons(self) -> dict[str, str]:
        """Why the video has no score, by the metric's id, for the metrics whose score in :attr:`means` is NaN."""
        from emo_bench.metrics.aggregation import reasons

        return reasons(self.scores)

    @property
    def notes(self) -> list[str]:
        """What a reader of the scores should know, one sentence each; first, why a metric has no score at all."""
        backends = {name: record["backend"] for name, record in self.records.items()}
        missing = [f"{name}: {used['detail']}" for name, used in backends.items() if used["name"] == NO_BACKEND]
        return [*missing, *self.scores.attrs["notes"]]

    @checked
    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the scores as Parquet and CSV, one row per frame and one row per score, and the records as JSON.

        Args:
            folder: where the files go; it is made.

        Returns:
            The files.
        """
        from emo_bench.runs.frame_scoring import write_scores

        return write_scores(self.scores, Path(folder))


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """A written report.

    Attributes:
        files: all files, ``report.html`` first.
        tables: the runs of each table; runs of different tables must not be compared.
        left_out: why runs were left out because they are damaged, one line each.
    """

    files: tuple[Path, ...]
    tables: tuple[Group, ...]
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Report('{self.path}', {len(self.tables)} tables, {len(self.left_out)} runs left out)"

    @cached_property
    def scores(self) -> pandas.DataFrame:
        """One row per run and metric: mean, interval, unit, backend and more."""
        from reports.tables import long_rows

        return long_rows(self.tables)

    @property
    def path(self) -> Path:
        """The file ``report.html``."""
        return self.files[0]
