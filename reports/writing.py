"""Reports written: report.md for people, report.csv for programs, a summary for the terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench.errors import UserError
from emo_bench.store import PREVIEW, is_finished, load_run, write_bytes
from reports.comparison import Cell, Group, Row, best_rows, group_rows
from reports.paper import SOURCE, PaperTable, load_paper_tables

if TYPE_CHECKING:
    import pandas

REPORT, TABLE = "report.md", "report.csv"
ARROWS = {"higher": "↑", "lower": "↓"}
LABELS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "sd": "SD",
    "lpips": "LPIPS",
    "st-lpips": "ST-LPIPS",
    "flmd": "F-LMD",
    "biq": "BIQ",
    "clip_d": "CLIP-D",
    "clip_dv": "CLIP-D^v",
    "clip_dv_in2n": "CLIP-D^v (in2n)",
    "warping_error": "warping error",
}
UNITLESS = "1"


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write report.md and report.csv of the finished runs among ``folders`` into ``out``; returns report.md.

    Raises:
        UserError: none is finished, or one is damaged.
    """
    groups, unfinished = _read(folders)
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / TABLE, long_table(folders).to_csv(index=False).encode())
    write_bytes(out / REPORT, _markdown(groups, unfinished, out).encode())
    return out / REPORT


def long_table(folders: Sequence[Path]) -> pandas.DataFrame:
    """One row a run and metric: what was measured, how, on what, and what it took.

    ``mean`` counts infinite scores (it is infinite then); ``finite_mean`` leaves them out.
    """
    import pandas

    groups, _ = _read(folders)
    records = [
        _long_row(number, row, metric)
        for number, group in enumerate(groups, start=1)
        for rows in group.subjects
        for row in rows
        for metric in group.metrics
    ]
    return pandas.DataFrame(records)


def summary(folders: Sequence[Path]) -> str:
    """The tables as aligned text, for a terminal."""
    groups, _ = _read(folders)
    blocks = []
    for group in groups:
        metrics = group.metrics
        header = ["actor", "method", *(_heading(group.rows[0].cells[m]) for m in metrics), "fit", "render"]
        lines = [header]
        for rows in group.subjects:
            for row in rows:
                means = [_number(row.cells[m].interval.mean) for m in metrics]
                lines.append([row.subject_title, row.title, *means, *_times(row)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        blocks.append("\n".join([_title(group), *text]))
    return "\n\n".join(blocks)


def _read(folders: Sequence[Path]) -> tuple[list[Group], list[Path]]:
    finished = [path for path in folders if is_finished(path)]
    if not finished:
        raise UserError("no run is finished yet: give its emo-bench run command again")
    unfinished = [path for path in folders if path not in finished]
    return group_rows(load_run(path) for path in finished), unfinished


def _markdown(groups: Sequence[Group], unfinished: Sequence[Path], out: Path) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    edits = {bool(row.style) for group in groups for row in group.rows}
    tables = [
        load_paper_tables()[name] for edit, name in ((False, "table-1"), (True, "table-2")) if edit in edits
    ]
    return environment.get_template("report.md.jinja").render(
        smoke=any(row.run.manifest["smoke"] for group in groups for row in group.rows),
        groups=[_view(group, out) for group in groups],
        unfinished=unfinished,
        papers=[
            {
                "title": f"{SOURCE}, {table.id.replace('-', ' ').capitalize()}",
                "table": _paper_table(table),
                "errata": _errata(table),
            }
            for table in tables
        ],
    )


def _view(group: Group, out: Path) -> dict[str, Any]:
    """What the template needs of a table."""
    first = group.rows[0]
    protocol = first.identity["protocol"]
    return {
        "title": _title(group),
        "subtitle": f"{first.run.manifest['protocol_title']}. Protocol hash `{protocol['hash'][:12]}`.",
        "table": _group_table(group, out),
        "averages": _average_table(group),
        "notes": _notes(group),
        "metrics": [_metric_line(first.cells[metric].record) for metric in group.metrics],
    }


def _title(group: Group) -> str:
    first = group.rows[0]
    identity = first.identity
    smoke = "SMOKE, not a result: " if first.run.manifest["smoke"] else ""
    protocol = identity["protocol"]
    size = identity["resolution_px"]
    return f"{smoke}{protocol['name']} v{protocol['version']}, split {identity['split']['name']}, {size} px"


def _group_table(group: Group, out: Path) -> str:
    metrics = group.metrics
    headings = [_heading(group.rows[0].cells[metric]) for metric in metrics]
    header = ["actor", "method", "profile, seed", "n", *headings, "fit", "render", "memory", "preview"]
    lines = [header, ["---"] * len(header)]
    for rows in group.subjects:
        best = {metric: best_rows(rows, metric) for metric in metrics}
        for position, row in enumerate(rows):
            frames = row.stages["score"]["frames"]
            cells = [_cell_text(row.cells[m], position in best[m], frames) for m in metrics]
            identity = row.identity
            about = f"{identity['profile']}, {identity['seed']}"
            memory = f"{row.stages['fit']['memory_mib'] / 1024:.1f} GiB"
            # os.path.relpath, because Path.relative_to cannot climb before Python 3.12.
            link = f"[video]({Path(os.path.relpath(row.run.path / PREVIEW, out)).as_posix()})"
            lines.append(
                [row.subject_title, row.title, about, str(frames), *cells, *_times(row), memory, link]
            )
    return _pipes(lines)


def _average_table(group: Group) -> str:
    averages = group.averages()
    if not averages:
        return ""
    metrics = group.metrics
    header = ["method", "profile, seed", *(_heading(group.rows[0].cells[m]) for m in metrics)]
    lines = [header, ["---"] * len(header)]
    for row, means in averages:
        about = f"{row.identity['profile']}, {row.identity['seed']}"
        lines.append([row.title, about, *(_number(means[m]) for m in metrics)])
    return _pipes(lines)


def _cell_text(cell: Cell, best: bool, frames: int) -> str:
    """``**29.41** [28.90, 29.90]``, with what is undefined or infinite said in words."""
    interval = cell.interval
    if not interval.n:
        return "n/a"
    notes = []
    if interval.n != frames:
        notes.append(f"n={interval.n}")
    if cell.infinite:
        rest = cell.finite
        others = f"; the others {_number(rest.mean)} {_range(rest.low, rest.high)}" if rest.n else ""
        notes.append(f"{cell.infinite} frames identical{others}")
    mean = f"**{_number(interval.mean)}**" if best else _number(interval.mean)
    bracket = "" if cell.infinite else f" {_range(interval.low, interval.high)}"
    remark = f" ({'; '.join(notes)})" if notes else ""
    return f"{mean}{bracket}{remark}"


def _heading(cell: Cell) -> str:
    """``PSNR ↑ dB``."""
    record = cell.record
    unit = "" if record["unit"] == UNITLESS else f" {record['unit']}"
    return f"{LABELS.get(record['metric'], record['metric'])} {ARROWS[record['direction']]}{unit}"


def _notes(group: Group) -> list[str]:
    """What a reader must know of the rows: flags of the runs, broken-off fits, machines."""
    notes: dict[str, None] = {}
    for row in group.rows:
        for flag in row.run.manifest["flags"]:
            notes[f"Actor {row.subject[0]}: {flag}."] = None
        split = row.run.manifest["split"]
        if split["faceless"]:
            notes[f"Actor {row.subject[0]}: frames without a face: {split['faceless']}."] = None
    for row in group.rows:
        if row.stages["fit"]["attempts"] > 1:
            notes[
                f"Actor {row.subject[0]}, {row.title}: the fit was interrupted and went on; its time is that of "
                "the last part."
            ] = None
    machines = {row.stages["fit"]["machine"]["device"] for row in group.rows}
    processors = {row.stages["fit"]["machine"]["processor"] for row in group.rows}
    versions = {row.stages["score"]["machine"]["emo_bench"] for row in group.rows}
    notes[
        f"Made with emo-bench {', '.join(sorted(versions))} on {', '.join(sorted(processors))}, "
        f"device {', '.join(sorted(machines))}."
    ] = None
    return list(notes)


def _metric_line(record: dict[str, Any]) -> list[str]:
    backend = record["backend"]
    sha256 = f", SHA-256 {backend['sha256'][:12]}" if backend["sha256"] else ""
    detail = f" ({backend['detail']})" if backend["detail"] else ""
    named = f"{backend['name']}{detail}{sha256}"
    return [record["metric"], record["version"], record["direction"], record["unit"], named]


def _paper_table(table: PaperTable) -> str:
    header = ["method", *(f"{m.label} {ARROWS[m.direction]}" for m in table.metrics)]
    marks = {name: f"[{number}]" for number, name in enumerate(table.errata, start=1)}
    lines = [header, ["---"] * len(header)]
    for row in table.rows:
        flags = [marks.get(row.flags.get(metric.id, ""), "") for metric in table.metrics]
        cells = [f"{value} {flag}".strip() for value, flag in zip(row.values, flags, strict=True)]
        lines.append([row.method, *cells])
    return _pipes(lines)


def _errata(table: PaperTable) -> list[str]:
    return [f"[{number}] {text}" for number, text in enumerate(table.errata.values(), start=1)]


def _long_row(number: int, row: Row, metric: str) -> dict[str, Any]:
    identity, stages, cell = row.identity, row.stages, row.cells[metric]
    protocol, record, interval = identity["protocol"], cell.record, cell.interval
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
        "method": identity["method"],
        "settings": ",".join(f"{key}={value}" for key, value in sorted(identity["settings"].items())),
        "profile": identity["profile"],
        "seed": identity["seed"],
        "style": row.style,
        "resolution_px": identity["resolution_px"],
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
        "ci_block_frames": interval.block_frames,
        "n": interval.n,
        "n_undefined": cell.dropped,
        "n_infinite": cell.infinite,
        "finite_mean": cell.finite.mean,
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


def _times(row: Row) -> list[str]:
    """Fit time and rendering speed."""
    fit, render = row.stages["fit"], row.stages["render"]
    resumed = "+" if fit["attempts"] > 1 else ""
    return [
        f"{_duration(fit['seconds'])}{resumed}",
        f"{render['frames'] / max(render['seconds'], 0.01):.0f} fps",
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"


def _number(value: float) -> str:
    """Four significant digits; NaN and infinity as a reader expects them."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 3
    return f"{value:.{min(max(digits, 0), 4)}f}"


def _range(low: float, high: float) -> str:
    return f"[{_number(low)}, {_number(high)}]"


def _pipes(lines: Sequence[Sequence[str]]) -> str:
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
