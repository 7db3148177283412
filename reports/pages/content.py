"""The content of a report as plain JSON values: report.json stores it and report.html shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emo_bench import __version__
from reports.notes import interval_notes
from reports.numbers import ARROWS, UNITLESS, group_title, heading, metric_label
from reports.pages.writing import group_notes
from reports.paper import PaperTable, paper_tables_for, table_title
from reports.ranking import Average, Group
from reports.reproduction import command, versions
from reports.rows import Cell, Row
from reports.tables import LeftOut

FORMAT = 1


def report_content(groups: Sequence[Group], left_out: LeftOut) -> dict[str, Any]:
    """The content of a report.

    NaN becomes None, and an infinite number becomes the text ``inf``. ``rank`` is the rank among the rows of one
    subject in one table, from 1; None for a row that is not ranked.
    """
    return {
        "format": FORMAT,
        "emo_bench": __version__,
        "smoke": any(row.run.manifest["smoke"] for group in groups for row in group.rows),
        "smoke_only": all(row.run.manifest["smoke"] for group in groups for row in group.rows),
        "tables": [_table(group, position) for position, group in enumerate(groups, start=1)],
        "published": [_published(table) for table in paper_tables_for(groups)],
        "unfinished": [path.as_posix() for path in left_out.unfinished],
        "damaged": [{"run": path.as_posix(), "reason": reason} for path, reason in left_out.damaged.items()],
    }


def _table(group: Group, position: int) -> dict[str, Any]:
    first = group.rows[0]
    identity = first.identity
    return {
        "id": f"table-{position}",
        "title": group_title(group),
        "smoke": first.run.manifest["smoke"],
        "protocol": identity["protocol"] | {"title": first.run.manifest["protocol_title"]},
        "split": identity["split"]["name"],
        "resolution_px": identity["resolution_px"],
        "edit": bool(first.style),
        "kinds": group.kinds,
        "metrics": [
            _metric(first.cells[metric]) | {"incomplete": metric in group.incomplete} for metric in group.metrics
        ],
        "rows": [_row(row, ranks) for rows in group.ranked for row, ranks in rows],
        "means": [_mean(average) for average in group.averages],
        "seeds": [_spread(rows) for rows in group.repeated()],
        "notes": [*group_notes(group), *interval_notes(group.rows)],
    }


def _row(row: Row, ranks: dict[str, int | None]) -> dict[str, Any]:
    identity, stages, manifest = row.identity, row.stages, row.run.manifest
    fit, render, machine = stages["fit"], stages["render"], stages["fit"]["machine"]
    return {
        "actor": identity["actor"]["name"],
        "driver": row.driver or None,
        "style": row.style or None,
        "method": identity["method"],
        "title": row.title,
        "kind": row.kind,
        "trivial": row.trivial,
        "profile": identity["profile"],
        "seed": identity["seed"],
        "settings": identity["settings"],
        "frames": stages["score"]["frames"],
        "scores": {metric: _score(cell, ranks[metric]) for metric, cell in row.cells.items()},
        "fit_s": fit["seconds"],
        "fit_attempts": fit["attempts"],
        "stages_s": manifest.get("described", {}).get("stage_seconds", {}),
        "render_fps": render["frames"] / max(render["seconds"], 0.01),
        "score_s": stages["score"]["seconds"],
        "memory_mib": row.memory_mib,
        "render_memory_mib": render.get("memory_mib"),
        "gpu_memory_mib": fit.get("gpu_memory_mib"),
        "parameters": manifest.get("described", {}).get("parameters"),
        "device": machine["device"],
        "processor": machine["processor"],
        "cores": machine["cores"],
        "command": command(row),
        "versions": versions(row),
        "assets": identity["assets"],
        "sha256": {
            "actor": identity["actor"]["sha256"],
            "split": identity["split"]["sha256"],
            "frames": render["frames_sha256"],
        },
        "flags": manifest["flags"],
        "fidelity": manifest.get("method", {}).get("fidelity", ""),
        "run": row.run.path.as_posix(),
    }


def _score(cell: Cell, rank: int | None) -> dict[str, Any]:
    interval = cell.interval
    return {
        "mean": plain(interval.mean),
        "ci95": [plain(interval.low), plain(interval.high)],
        "ci95_withheld": interval.withheld,
        "n": interval.n,
        "n_effective": plain(interval.n_effective),
        "undefined": cell.dropped,
        "scored_share": cell.scored_share,
        "reason": cell.reason,
        "infinite": cell.infinite,
        "finite_mean": plain(cell.finite.mean),
        "rank": rank,
    }


def _metric(cell: Cell) -> dict[str, Any]:
    record = cell.record
    kept = (
        "version", "direction", "unit", "backend", "resolution", "resize_filter", "region", "background",
        "value_range", "averaging",
    )  # fmt: skip
    return {
        "id": record["metric"],
        "label": metric_label(record["metric"]),
        "heading": heading(cell),
        "arrow": ARROWS[record["direction"]],
        "shown_unit": "" if record["unit"] == UNITLESS else record["unit"],
        **{key: record[key] for key in kept},
        "conditions": record.get("conditions"),
        "no_score_if": record.get("undefined", ""),
    }


def _mean(average: Average) -> dict[str, Any]:
    """A contestant's means over the subjects, with the smallest and the largest subject."""
    row = average.first
    return {
        "title": row.title,
        "method": row.identity["method"],
        "kind": row.kind,
        "trivial": row.trivial,
        "profile": row.identity["profile"],
        "seeds": average.seeds,
        "subjects": len(average.rows),
        "scores": {
            m: {
                "mean": plain(average.mean(m)),
                "range": [plain(min(values)), plain(max(values))],
                "scored_share": average.scored_share(m),
                "rank": average.ranks[m],
            }
            for m, values in average.means.items()
        },
    }


def _spread(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean over seeds, and the standard deviation between seeds (with n - 1)."""
    first = rows[0]
    return {
        "actor": first.identity["actor"]["name"],
        "driver": first.driver or None,
        "style": first.style or None,
        "title": first.title,
        "profile": first.identity["profile"],
        "seeds": [row.seed for row in rows],
        "scores": {
            metric: {"mean": plain(float(np.mean(values))), "sd": plain(_deviation(values))}
            for metric in first.cells
            for values in ([row.cells[metric].interval.mean for row in rows],)
        },
    }


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation, with n - 1, of two or more values; NaN if one is infinite."""
    # NumPy warns of infinity minus infinity.
    with np.errstate(invalid="ignore"):
        return float(np.std(values, ddof=1))


def _published(table: PaperTable) -> dict[str, Any]:
    return {
        "id": table.id,
        "title": table_title(table),
        "what": table.title,
        "edit": table.id == "table-2",
        "metrics": [
            {"id": m.id, "label": m.label, "arrow": ARROWS[m.direction], "direction": m.direction, "flag": m.flag}
            for m in table.metrics
        ],
        "rows": [{"method": row.method, "values": list(row.values), "flags": row.flags} for row in table.rows],
        "errata": table.errata,
        "ranked_with_ours": False,
    }


def plain(value: float) -> float | str | None:
    """A number that JSON can hold: NaN becomes None, an infinite number ``inf`` or ``-inf``."""
    if math.isnan(value):
        return None
    return str(float(value)) if math.isinf(value) else float(value)
