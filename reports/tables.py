"""Reports as tables for programs: long (one row for each run and metric) and wide (one row for each run)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench.system.second_process import SecondProcess
from reports.ranking import Group, group_rows
from reports.reading import open_together
from reports.rows import Row

if TYPE_CHECKING:
    import pandas

# Columns of the long table that describe a metric and not the run.
PER_METRIC = (
    "metric", "metric_version", "direction", "unit", "backend", "backend_sha256", "backend_detail", "resize_filter",
    "mean", "ci95_low", "ci95_high", "ci95_withheld", "n", "n_effective", "n_undefined", "n_infinite", "finite_mean",
    "scored_share", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class LeftOut:
    """Runs that are in no table: unfinished runs, and damaged runs with the reason in one line."""

    unfinished: tuple[Path, ...] = ()
    damaged: Mapping[Path, str] = field(default_factory=dict)


def read_groups(folders: Sequence[Path], helper: SecondProcess | None = None) -> tuple[list[Group], LeftOut]:
    """Sort the finished runs among ``folders`` into tables. Also returns the runs that are in none.

    Args:
        folders: the runs' folders.
        helper: a process that reads some of them at the same time.

    Raises:
        UserError: no run is finished and undamaged.
    """
    runs, known = open_together(folders, helper)
    return group_rows(runs.finished, known), LeftOut(runs.unfinished, runs.damaged)


def long_table(folders: Sequence[Path]) -> pandas.DataFrame:
    """One row for each run and metric: the scores, how and on what they were measured, and what the run took.

    ``mean`` is the metric's score of the video, the mean over frames for most metrics. It is infinite if a score is
    infinite; ``finite_mean`` leaves infinite scores out. ``scored_share`` is the share of the frames that have a score,
    ``reason`` says why there is no mean, and ``ci95_withheld`` why there is no interval.
    """
    groups, _ = read_groups(folders)
    return long_rows(groups)


def long_rows(groups: Sequence[Group]) -> pandas.DataFrame:
    """As :func:`long_table`, for runs that are already read; the column ``table`` counts the groups from 1."""
    import pandas

    columns: dict[str, list[Any]] = {}
    for number, group in enumerate(groups, start=1):
        for row in (row for rows in group.subjects for row in rows):
            before, after = _before(number, row), _after(row)
            for metric in group.metrics:
                for name, value in (*before.items(), *_of_metric(row, metric).items(), *after.items()):
                    columns.setdefault(name, []).append(value)
    return pandas.DataFrame(columns)


def wide_table(table: pandas.DataFrame) -> pandas.DataFrame:
    """A row per run of a :func:`long_table`; columns by metric ``<metric>``, ``<metric>_ci95_low`` and so on."""
    import pandas

    endings = ("ci95_low", "ci95_high", "ci95_withheld", "n", "n_effective", "scored_share", "reason")
    values = {"mean": "", **{name: f"_{name}" for name in endings}}
    of_metric = [name for name in table.columns if name in PER_METRIC]
    runs = table.drop(columns=of_metric).drop_duplicates("run").set_index("run", drop=False)
    for metric in table["metric"].unique():
        own = table[table["metric"] == metric].set_index("run")[list(values)]
        own.columns = pandas.Index([f"{metric}{ending}" for ending in values.values()])
        runs = runs.join(own)
    return runs.reset_index(drop=True)


def _before(number: int, row: Row) -> dict[str, Any]:
    """What a run's rows say before the metric: what was run and on what."""
    identity = row.identity
    protocol = identity["protocol"]
    return {
        "table": number,
        "smoke": row.run.manifest["smoke"],
        "protocol": protocol["name"],
        "protocol_version": protocol["version"],
        "protocol_hash": protocol["hash"],
        "split": identity["split"]["name"],
        "split_sha256": identity["split"]["sha256"],
        "actor": identity["actor"]["name"],
        "actor_sha256": identity["actor"]["sha256"],
        "driver": row.driver,
        "method": identity["method"],
        "kind": row.kind,
        "settings": ",".join(f"{key}={value}" for key, value in sorted(identity["settings"].items())),
        "profile": identity["profile"],
        "seed": identity["seed"],
        "style": row.style,
        "resolution_px": identity["resolution_px"],
    }


def _of_metric(row: Row, metric: str) -> dict[str, Any]:
    """The score and how it was measured."""
    cell = row.cells[metric]
    record, interval = cell.record, cell.interval
    return {
        "metric": metric,
        "metric_version": record["version"],
        "direction": record["direction"],
        "unit": record["unit"],
        "backend": record["backend"]["name"],
        "backend_sha256": record["backend"]["sha256"],
        "backend_detail": record["backend"]["detail"],
        "resize_filter": record["resize_filter"],
        "mean": interval.mean,
        "ci95_low": interval.low,
        "ci95_high": interval.high,
        "ci95_withheld": interval.withheld,
        "n": interval.n,
        "n_effective": interval.n_effective,
        "n_undefined": cell.dropped,
        "n_infinite": cell.infinite,
        "finite_mean": cell.finite.mean,
        "scored_share": cell.scored_share,
        "reason": cell.reason,
    }


def _after(row: Row) -> dict[str, Any]:
    """What a run's rows say after the metric: what the run took, and where it is."""
    stages = row.stages
    return {
        "fit_s": stages["fit"]["seconds"],
        "fit_attempts": stages["fit"]["attempts"],
        "render_s": stages["render"]["seconds"],
        "score_s": stages["score"]["seconds"],
        "fit_memory_mib": stages["fit"]["memory_mib"],
        "device": stages["fit"]["machine"]["device"],
        "emo_bench": stages["score"]["machine"]["emo_bench"],
        "commit": stages["score"]["machine"]["commit"],
        "frames_sha256": stages["render"]["frames_sha256"],
        "flags": "; ".join(row.run.manifest["flags"]),
        "run": row.run.path.as_posix(),
    }
