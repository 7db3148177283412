"""The result of an ablation: each variant compared with the reference, metric by metric, as tables for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas

from emo_bench.ablation.runs import VariantResult
from emo_bench.metrics.aggregation import unknown_rule
from emo_bench.metrics.comparability import difference
from emo_bench.runs.finished import load_run
from emo_bench.statistics.differences import Difference, SubjectScores
from protocols.ablation import Ablation, Table, Variant
from reports.differences import compare_videos
from reports.ground import differing_fact
from reports.numbers import finite
from reports.rows import Row

# The metrics of table 4's columns: the first of each tuple that was measured. F-LMD is added, as in table 1, and the
# judge, because the CLIP of the first column trains the edits.
OF_RUN = (("lpips", "st-lpips"), ("psnr",), ("sd",), ("flmd",))
OF_EDIT = (("clip_d",), ("clip_d-judge",), ("clip_dv",))
PENDING = "not run yet"


@dataclass(frozen=True)
class Entry:
    """A variant, with its finished run and edit as rows; None if there is none, and ``missing`` says why."""

    variant: Variant
    run: Row | None
    edit: Row | None
    missing: Mapping[str, str]

    @cached_property
    def seconds(self) -> dict[str, float]:
        """The known seconds of ``init``, ``render_stage``, ``stage_1`` (their sum) and ``edit``."""
        found: dict[str, float] = {}
        if self.run is not None:
            parts = self.run.run.manifest.get("described", {}).get("stage_seconds", {})
            if {"init", "render"} <= parts.keys():
                found = {"init": parts["init"], "render_stage": parts["render"]}
            found["stage_1"] = sum(found.values()) if found else self.run.stages["fit"]["seconds"]
        if self.edit is not None:
            found["edit"] = self.edit.stages["fit"]["seconds"]
        return found

    @property
    def shared_stages(self) -> dict[str, str]:
        """The stages that the run took from the cache of the ablation, and for each the run that had done it."""
        if self.run is None:
            return {}
        manifest = self.run.run.manifest
        # Runs of older versions have it beside "described".
        found: dict[str, str] = manifest.get("described", {}).get("shared_stages", manifest.get("shared_stages", {}))
        return found

    def row_of(self, part: str) -> Row | None:
        """The row of a part: ``run`` or ``edit``."""
        return self.run if part == "run" else self.edit

    def reason(self, part: str) -> str:
        """Why there is no row; empty if there is one, or if the variant has no such part."""
        if self.row_of(part) is not None or (part == "edit" and self.variant.edit is None):
            return ""
        return self.missing.get(part) or self.missing.get("run", PENDING)


class AblationReport:
    """The finished variants of an ablation, compared with its reference.

    Args:
        ablation: the tables and the variants.
        results: the results of the variants that were run so far.
    """

    def __init__(self, ablation: Ablation, results: Iterable[VariantResult]) -> None:
        self.ablation = ablation
        done = {result.variant.name: result for result in results}
        self.entries = {v.name: _entry(v, done.get(v.name)) for v in ablation.variant}
        self.chosen = set(done)
        self._compared: dict[tuple[str, str, str], Difference | None] = {}

    @property
    def reference(self) -> Entry:
        """The variant that the others are compared with."""
        return self.entries[self.ablation.reference]

    def rows(self, table: Table) -> list[tuple[str, Entry]]:
        """Titles and entries of a table, for the variants that were run."""
        listed = [name for name in table.variants if name in self.chosen]
        return [(table.labels.get(name, self.entries[name].variant.title), self.entries[name]) for name in listed]

    def tables(self) -> list[Table]:
        """The tables that have a row besides the reference."""
        return [t for t in self.ablation.table if any(e is not self.reference for _, e in self.rows(t))]

    def columns(self, table: Table) -> list[tuple[str, str]]:
        """Part and metric of each column, in table 4's order. It has edits only if a variant has one."""
        entries = [entry for _, entry in self.rows(table)]
        found: list[tuple[str, str]] = []
        for part, wanted in (("run", OF_RUN), ("edit", OF_EDIT)):
            if part == "edit" and all(entry.variant.edit is None for entry in entries if entry is not self.reference):
                continue
            measured = {m for e in entries if (row := e.row_of(part)) is not None for m in row.cells}
            found += [(part, next((m for m in names if m in measured), names[0])) for names in wanted]
        return found

    def compared(self, entry: Entry, part: str, metric: str) -> Difference | None:
        """The entry compared with the reference; None for the reference itself, or if the two cannot be compared."""
        key = (entry.variant.name, part, metric)
        if key not in self._compared:
            self._compared[key] = self._compare(entry, part, metric)
        return self._compared[key]

    def obstacle(self, entry: Entry, part: str, metric: str) -> str | None:
        """Why a metric of the entry is not compared with the reference; None if it is, or if a run is missing."""
        mine, theirs = entry.row_of(part), self.reference.row_of(part)
        if mine is None or theirs is None or mine.run.path == theirs.run.path:
            return None
        if metric not in mine.cells or metric not in theirs.cells:
            return "only one of the two was scored with it"
        fact = differing_fact(mine.facts, theirs.facts)
        if fact is not None:
            return f"the two differ in {fact}"
        if mine.frames != theirs.frames:
            return "the two have scores of different frames"
        records = mine.cells[metric].record, theirs.cells[metric].record
        gap = difference(*records)
        return f"the records differ in {gap}" if gap is not None else unknown_rule(records[0])

    def _compare(self, entry: Entry, part: str, metric: str) -> Difference | None:
        mine, theirs = entry.row_of(part), self.reference.row_of(part)
        if mine is None or theirs is None or mine.run.path == theirs.run.path:
            return None
        if self.obstacle(entry, part, metric) is not None:
            return None
        pair = SubjectScores(mine.scores(metric)[None], theirs.scores(metric)[None])
        return compare_videos([pair], mine.cells[metric].record)


def long_table(report: AblationReport) -> pandas.DataFrame:
    """One row for each table, variant, part and metric; a missing part has one row with the reason."""
    records: list[dict[str, Any]] = []
    for table in report.tables():
        for title, entry in report.rows(table):
            about = {"table": table.id, "variant": entry.variant.name, "title": title}
            times = {f"{name}_s": entry.seconds.get(name) for name in ("init", "render_stage", "stage_1", "edit")}
            for part in ("run", "edit"):
                row, reason = entry.row_of(part), entry.reason(part)
                if row is not None:
                    records += [
                        about | {"part": part} | _measured(report, entry, part, metric) | times for metric in row.cells
                    ]
                elif reason:
                    records.append(about | {"part": part, "reason": reason} | times)
    return pandas.DataFrame(records)


def as_json(report: AblationReport) -> dict[str, Any]:
    """Tables, variants, metrics, differences and times as plain values; NaN and infinity become None."""
    identity = report.reference.run.identity if report.reference.run else {}
    keys = ("protocol", "split", "actor", "method", "profile", "seed", "resolution_px")
    return finite(
        {
            **{key: identity.get(key) for key in keys},
            "smoke": is_smoke(report),
            "reference": report.ablation.reference,
            "tables": [
                {
                    "id": table.id,
                    "title": table.title,
                    "rows": [_json_row(report, title, entry) for title, entry in report.rows(table)],
                }
                for table in report.tables()
            ],
        }
    )


def _entry(variant: Variant, result: VariantResult | None) -> Entry:
    if result is None:
        return Entry(variant, None, None, {})
    rows = [None if path is None else Row(load_run(path)) for path in (result.run, result.edit)]
    return Entry(variant, rows[0], rows[1], result.missing)


def _measured(report: AblationReport, entry: Entry, part: str, metric: str) -> dict[str, Any]:
    row = entry.row_of(part)
    assert row is not None
    cell, gap = row.cells[metric], report.compared(entry, part, metric)
    backend = cell.record["backend"]
    own = {
        "mean": cell.interval.mean,
        "ci95_low": cell.interval.low,
        "ci95_high": cell.interval.high,
        "ci95_withheld": cell.interval.withheld,
        "n_effective": cell.interval.n_effective,
    }
    delta = (
        {"delta": gap.difference, "delta_ci95_low": gap.low, "delta_ci95_high": gap.high,
         "delta_withheld": gap.withheld, "delta_n": gap.n, "delta_n_effective": gap.n_effective,
         "verdict": gap.verdict}
        if gap else {"delta_reason": report.obstacle(entry, part, metric) or ""}
    )  # fmt: skip
    return {
        "metric": metric, "direction": cell.record["direction"], "unit": cell.record["unit"], **own,
        "n": cell.interval.n, "scored_share": cell.scored_share, "reason": cell.reason, **delta,
        "backend": backend["name"], "backend_sha256": backend["sha256"], "run": row.run.path.as_posix(),
    }  # fmt: skip


def _json_row(report: AblationReport, title: str, entry: Entry) -> dict[str, Any]:
    parts = {part: row for part in ("run", "edit") if (row := entry.row_of(part)) is not None}
    return {
        "variant": entry.variant.name,
        "title": title,
        "settings": entry.run.identity["settings"] if entry.run else entry.variant.settings,
        "seconds": entry.seconds,
        "shared_stages": entry.shared_stages,
        "missing": {part: reason for part in ("run", "edit") if (reason := entry.reason(part))},
        "metrics": [
            {"part": part} | _measured(report, entry, part, metric)
            for part, row in parts.items()
            for metric in row.cells
        ],
    }


def is_smoke(report: AblationReport) -> bool:
    """Whether the ablation has smoke runs."""
    return any(entry.run.run.manifest["smoke"] for entry in report.entries.values() if entry.run)
