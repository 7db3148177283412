"""Show a run on one screen of a terminal, and print the tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.finished import is_finished, load_run, open_runs
from emo_bench.runs.manifest import MANIFEST, STAGES, read_manifest
from emo_bench.runs.store import LOG, PREVIEW
from emo_bench.text.plain_text import printable, unmarked
from reports.columns import Column, Layout, lay_out, print_whole
from reports.figures.curves import LOSSES, read_losses
from reports.notes import interval_notes, score_notes
from reports.numbers import bracket, duration, gib, group_title, heading, number, percent, share_heading, times, worth
from reports.pages.writing import kind_cell
from reports.ranking import Group, best_rows, group_rows
from reports.reproduction import command
from reports.rows import Row, without_checksums
from reports.tables import LeftOut

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

BARS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 16
PLAIN_WIDTH = 110
NAME_WIDTH = 14
GAP = 2


def show_run(folder: Path, console: Console) -> None:
    """Print the run in ``folder``: stages, scores beside those of the trivial methods, losses and files.

    Raises:
        UserError: the folder has no run.
    """
    from rich.console import Group as Lines
    from rich.panel import Panel

    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder} is not a run: give a folder with {MANIFEST}, such as runs/PROTOCOL/ACTOR/METHOD/PROFILE-sSEED"
        )
    manifest = read_manifest(folder)
    notes: list[str] = []
    # A panel takes four characters.
    width = console.width - 4
    stages, widest = _stages(manifest, width)
    parts: list[RenderableType] = [_about(manifest), stages]
    if is_finished(folder):
        row = Row(load_run(folder))
        beside, notes = _beside(row)
        scores, layout = _scores(row, beside, width)
        parts.append(scores)
        widest = max(widest, layout.width)
        notes += [layout.note()] if layout.left_out else []
        notes += [*score_notes(Group((row, *beside))), *interval_notes([row])]
        notes += without_checksums([row, *beside])
        closing = command(row)
    else:
        closing = "not finished: give its emo-bench run command again to resume it"
    flags = _notes([*manifest["flags"], *notes])
    parts += [line for line in (_losses(folder, manifest), _edits(folder), flags, _files(folder)) if line]
    parts.append(f"[dim]{unmarked(closing)}[/]")
    panel = Panel(Lines(*parts), title=_title(manifest), title_align="left", border_style="dim")
    print_whole(panel, widest + 4, console)


def print_tables(groups: Sequence[Group], console: Console) -> None:
    """Print the tables of a report; for each actor, the best score is bold and the second best is underlined."""
    from rich.table import Table

    marks: dict[int | None, str] = {1: "bold green", 2: "underline"}
    for group in groups:
        title = unmarked(group_title(group))
        table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left")
        for name, texts in (
            ("actor", [printable(row.subject_title) for row in group.rows]),
            ("method", [printable(row.title) for row in group.rows]),
            *([("kind", [row.kind for row in group.rows])] if group.kinds else []),
        ):
            table.add_column(name, no_wrap=True, min_width=min(NAME_WIDTH, max(map(len, texts))))
        # A heading may break between words; a number stays on one line.
        for metric in group.metrics:
            name = unmarked(heading(group.rows[0].cells[metric]))
            means = [number(row.cells[metric].interval.mean) for row in group.rows]
            table.add_column(name, min_width=max(map(len, [*means, *name.split()])), justify="right")
            if metric in group.incomplete:
                table.add_column(unmarked(share_heading(group.rows[0].cells[metric])), min_width=7, justify="right")
        for name in ("fit", "render"):
            table.add_column(name, no_wrap=True, min_width=8, justify="right")
        for rows in group.ranked:
            for row, ranks in rows:
                cells = []
                for metric, rank in ranks.items():
                    mean = number(row.cells[metric].interval.mean)
                    cells.append(f"[{marks[rank]}]{mean}[/]" if rank in marks else mean)
                    cells += [percent(row.cells[metric].scored_share)] if metric in group.incomplete else []
                table.add_row(
                    unmarked(row.subject_title),
                    unmarked(row.title),
                    *kind_cell(group, row),
                    *cells,
                    *times(row),
                    style="dim" if row.trivial else None,
                )
            table.add_section()
        # If the terminal is too narrow, it breaks the lines, so that no number is lost.
        least = console.measure(table).minimum
        console.print(table, width=max(console.width, least), crop=False, soft_wrap=True)
        for note in score_notes(group):
            console.print(printable(f"note: {note}"), highlight=False, markup=False, soft_wrap=True)


def run_record(folder: Path) -> dict[str, Any]:
    """The run's entry of report.json, and the state of its stages."""
    from reports.pages.content import report_content

    manifest = read_manifest(folder)
    record: dict[str, Any] = {"run": folder.as_posix(), "finished": is_finished(folder)}
    record["stages"] = {name: _state(manifest, name) for name in STAGES}
    if record["finished"]:
        content = report_content(group_rows([load_run(folder)]), LeftOut())
        (table,) = content["tables"]
        record |= {"metrics": table["metrics"], **table["rows"][0]}
    return record


def sparkline(values: NDArray[np.float64], width: int = SPARK_WIDTH) -> str:
    """Draw the means of ``width`` equal parts as bars; a part without a finite value is a blank."""
    if not len(values):
        return ""
    parts = np.array_split(values, min(width, len(values)))
    means = np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts])
    if np.isnan(means).all():
        return " " * len(means)
    low, high = np.nanmin(means), np.nanmax(means)
    share = (means - low) / (high - low) if high > low else np.where(np.isnan(means), np.nan, 0.5)
    return "".join(" " if s != s else BARS[round(s * (len(BARS) - 1))] for s in share)


def _title(manifest: dict[str, Any]) -> str:
    identity = manifest["identity"]
    style = f", {identity['style']['name']}" if "style" in identity else ""
    driver = f" driven by {identity['driver']['name']}" if "driver" in identity else ""
    return (
        f"[bold]{unmarked(manifest['title'])}[/] on actor "
        f"[bold]{unmarked(identity['actor']['name'])}{unmarked(driver)}{unmarked(style)}[/]"
    )


def _about(manifest: dict[str, Any]) -> str:
    identity = manifest["identity"]
    protocol, split = identity["protocol"], manifest["split"]
    settings = "".join(f", {key}={value}" for key, value in sorted(identity["settings"].items()))
    first = (
        f"{protocol['name']} v{protocol['version']} ({protocol['hash'][:8]}), split {split['name']}, "
        f"{identity['resolution_px']} px, profile {identity['profile']}, seed {identity['seed']}{settings}"
    )
    return unmarked(first)


def _stages(manifest: dict[str, Any], width: int) -> tuple[Table, int]:
    """The table of the stages, and its width."""
    names = ("stage", "state", "time", "frames", "memory", "device")
    rows = []
    shown = STAGES[1:] if manifest.get("kind") == VIDEO_EDITOR else STAGES
    for name in shown:
        state = _state(manifest, name)
        cells = (
            name,
            "[green]done[/]" if state["done"] else "[yellow]started[/]" if state["attempts"] else "[dim]not started[/]",
            "" if state["seconds"] is None else duration(state["seconds"]),
            str(state.get("frames") or ""),
            gib(state.get("memory_mib")),
            unmarked(state.get("device") or ""),
        )
        rows.append(cells)
    right = ("time", "frames", "memory")
    columns = [
        Column(name, cells, right=name in right, foldable=name == "device")
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    ]
    layout = lay_out(columns, width, GAP)
    return _table(layout), layout.width


def _state(manifest: dict[str, Any], stage: str) -> dict[str, Any]:
    entry = manifest["stages"].get(stage, {})
    return {
        "done": bool(entry.get("finished_at")),
        "attempts": entry.get("attempts", 0),
        "seconds": entry.get("seconds"),
        "frames": entry.get("frames"),
        "memory_mib": entry.get("memory_mib"),
        "device": entry.get("machine", {}).get("device"),
    }


def _beside(row: Row) -> tuple[list[Row], list[str]]:
    """The finished runs of trivial methods that share a table and a subject with the row, and notes on damaged runs."""
    place = row.run.path
    folders = [path.parent for path in sorted(place.parent.parent.glob(f"*/*/{MANIFEST}"))]
    opened = open_runs([place, *(folder for folder in folders if folder != place)])
    rows = [Row(run) for run in opened.finished if run.path != place]
    group: Group = next(
        group
        for group in group_rows([row.run, *(r.run for r in rows if r.trivial)])
        if any(other.run.path == place for other in group.rows)
    )
    beside = [
        other for other in group.rows if other.trivial and other.run.path != place and other.subject == row.subject
    ]
    return beside, [f"left out: {reason}" for reason in opened.damaged.values()]


def _scores(row: Row, beside: Sequence[Row], width: int) -> tuple[Table, Layout]:
    rows = []
    for metric, cell in row.cells.items():
        best = 0 in best_rows([row, *beside], metric)
        mean = number(cell.interval.mean)
        interval = bracket(cell.interval) if cell.interval.n else ""
        cells = (
            unmarked(heading(cell)),
            f"[bold green]{mean}[/]" if best else mean,
            unmarked(interval),
            str(cell.interval.n),
            worth(cell.interval.n_effective),
            f"[cyan]{sparkline(row.scores(metric))}[/]",
            *(number(other.cells[metric].interval.mean) for other in beside),
            unmarked(cell.record["backend"]["name"]),
        )
        rows.append(cells)
    metrics, means, intervals, counts, worths, curves, *others, backends = zip(*rows, strict=True)
    columns = [
        Column("metric", metrics, foldable=True),
        Column("mean", means, right=True),
        Column("95 % interval", intervals),
        Column("n", counts, right=True, spare=3),
        Column("worth n", worths, right=True, spare=4),
        Column("over the frames", curves, spare=1),
        *(Column(unmarked(other.title), cells) for other, cells in zip(beside, others, strict=True)),
        Column("backend", backends, foldable=True, spare=2),
    ]
    layout = lay_out(columns, width, GAP)
    return _table(layout), layout


def _losses(folder: Path, manifest: dict[str, Any]) -> str:
    if not (folder / LOSSES).exists():
        return ""
    try:
        require_unchanged(folder, manifest, [LOSSES])
        names, table = read_losses(folder / LOSSES)
    except UserError as error:
        return _notes([str(error)])
    if not len(table):
        return ""
    last = ", ".join(f"{name} {value:.3g}" for name, value in zip(names[1:], table[-1, 1:], strict=True))
    return f"[dim]losses at {names[0]} {table[-1, 0]:.0f}:[/] {unmarked(last)}"


def _edits(folder: Path) -> str:
    found = [f"{path.parent.name}{_remark(path.parent)}" for path in sorted(folder.glob(f"edit/*/{MANIFEST}"))]
    return f"[dim]edits:[/] {unmarked(', '.join(found))}" if found else ""


def _remark(edit: Path) -> str:
    try:
        return "" if is_finished(edit) else " (not finished)"
    except UserError:
        return " (damaged)"


def _notes(lines: Sequence[str]) -> str:
    return "\n".join(f"[yellow]note:[/] {unmarked(line)}" for line in lines)


def _files(folder: Path) -> str:
    there = [folder / name for name in (PREVIEW, LOG) if (folder / name).is_file()]
    return f"[dim]look at:[/] {unmarked(', '.join(path.as_posix() for path in there))}" if there else ""


def _table(layout: Layout) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    layout.fill(table)
    return table
