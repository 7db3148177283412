"""Write an ablation as Markdown, CSV and JSON, and print its tables on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.files import write_bytes, write_json
from emo_bench.statistics.differences import BETTER, UNDECIDED, WORSE
from emo_bench.text.csv_text import csv_text
from emo_bench.text.plain_text import printable, unmarked
from protocols.ablation import Table
from reports.ablation.tables import AblationReport, Entry, as_json, is_smoke, long_table
from reports.markdown import Markdown, code, errata, escaped, image, pipe_table, published_table
from reports.numbers import ARROWS, bracket, duration, metric_label, number
from reports.paper import SOURCE, load_paper_tables

if TYPE_CHECKING:
    from rich.console import Console

# Width of a terminal, in characters, from which on all times are shown.
WIDE = 130
COLOURS = {BETTER: "green", WORSE: "red", UNDECIDED: "dim"}
REPORT, TABLE, DATA = "ablation.md", "ablation.csv", "ablation.json"


def write_ablation(report: AblationReport, out: Path, command: str = "") -> Path:
    """Write ablation.md, ablation.csv and ablation.json into ``out``. Returns the path of ablation.md.

    Args:
        report: the variants and their results.
        out: a folder; it is made if it is missing.
        command: the command that makes the ablation again.
    """
    out.mkdir(parents=True, exist_ok=True)
    figures = [figure for figure in report.ablation.figure if (out / f"{figure.id}.png").is_file()]
    write_bytes(out / TABLE, csv_text(long_table(report)).encode())
    write_json(out / DATA, as_json(report) | {"command": command, "figures": [f"{f.id}.png" for f in figures]})
    lines = ["# Ablation", ""]
    if is_smoke(report):
        lines += ["> **Smoke: these are smoke runs, for trying things out. Their numbers are not results.**", ""]
    lines += _about(report, command)
    for table in report.tables():
        lines += ["", f"## {escaped(table.title)}", "", *_markdown_tables(report, table)]
        if table.id == "table-4":
            lines += ["", *_paper_lines()]
    for figure in figures:
        lines += ["", f"## {escaped(figure.title)}", "", image(figure.title, f"{figure.id}.png")]
    write_bytes(out / REPORT, ("\n".join(lines) + "\n").encode())
    return out / REPORT


def print_ablation(report: AblationReport, console: Console) -> None:
    """Print the tables on a terminal: each value, and below it the difference from the reference.

    A narrow terminal shows the time of stage 1 as a whole.
    """
    from rich import box
    from rich.table import Table as RichTable

    for table in report.tables():
        columns = report.columns(table)
        smoke = "SMOKE, not a result: " if is_smoke(report) else ""
        shown = RichTable(
            title=unmarked(f"{smoke}{table.title}"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        headings = [unmarked(heading) for heading in _headings(report, table, columns)]
        rows = [
            [unmarked(title), *(_two_lines(report, entry, *column) for column in columns), *_time_cells(entry, columns)]
            for title, entry in report.rows(table)
        ]
        parts = slice(1 + len(columns), 3 + len(columns))
        if console.width < WIDE:
            for cells in (headings, *rows):
                del cells[parts]
        for position, heading in enumerate(headings):
            words = [*heading.split(), *(line for row in rows for line in _unmarked(row[position]).split("\n"))]
            least = max(map(len, words)) if position else None
            shown.add_column(heading, justify="right" if position else "left", min_width=least)
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
        for line in _reasons(report, table, _quoted, printable):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _two_lines(report: AblationReport, entry: Entry, part: str, metric: str) -> str:
    """The value, and below it in rich's markup the difference, green if it is better."""
    value, gap = _value(entry, part, metric), report.compared(entry, part, metric)
    if gap is None or np.isnan(gap.difference):
        return value
    return f"{value}\n[{COLOURS[gap.verdict]}]{_signed(gap.difference)}[/]"


def _unmarked(cell: str) -> str:
    from rich.text import Text

    return Text.from_markup(cell).plain


def _about(report: AblationReport, command: str) -> list[str]:
    lines = []
    if report.reference.run is not None:
        identity, protocol = report.reference.run.identity, report.reference.run.identity["protocol"]
        lines.append(
            f"{escaped(report.reference.run.run.manifest['title'])} on actor {escaped(identity['actor']['name'])}, "
            f"profile {escaped(identity['profile'])}, seed {identity['seed']}; {escaped(protocol['name'])} "
            f"v{protocol['version']} (hash "
            f"{code(protocol['hash'][:12])}), split {escaped(identity['split']['name'])}, {identity['resolution_px']} "
            f"px."
        )
    title = escaped(report.reference.variant.title)
    lines.append(
        f"A difference is variant minus {title} on the same frames, with the 95 % interval of *emo-bench compare*. It "
        f"is *{UNDECIDED}* if the interval contains zero or is withheld."
    )
    lines.append(
        "Times are the seconds that a stage takes; a stage that variants share was computed once and is charged to "
        "each."
    )
    return [*lines, *([f"Made with {code(command)}."] if command else [])]


def _markdown_tables(report: AblationReport, table: Table) -> list[str]:
    columns = report.columns(table)
    header = _headings(report, table, columns)
    rows, gaps = [], []
    for title, entry in report.rows(table):
        values = [_value(entry, part, metric, with_interval=True) for part, metric in columns]
        rows.append([title, *values, *_time_cells(entry, columns)])
        if entry is not report.reference:
            gaps.append([title, *(_gap(report, entry, part, metric) for part, metric in columns)])
    differences = pipe_table(["difference", *header[1 : 1 + len(columns)]], gaps)
    return [
        *pipe_table(header, rows),
        "",
        *differences,
        "",
        *(f"- {line}" for line in _reasons(report, table, code, escaped)),
    ]


def _headings(report: AblationReport, table: Table, columns: Sequence[tuple[str, str]]) -> list[str]:
    entries = [entry for _, entry in report.rows(table)]
    found = ["variant"]
    for part, metric in columns:
        rows = [row for e in entries if (row := e.row_of(part)) is not None and metric in row.cells]
        arrow = f" {ARROWS[rows[0].cells[metric].record['direction']]}" if rows else ""
        found.append(f"{metric_label(metric)}{arrow}")
    edited = any(part == "edit" for part, _ in columns)
    return [*found, "init", "render stage", "stage 1 time", *(["stage 2 time"] if edited else [])]


def _time_cells(entry: Entry, columns: Sequence[tuple[str, str]]) -> list[str]:
    names = ["init", "render_stage", "stage_1", *(["edit"] if any(p == "edit" for p, _ in columns) else [])]
    return [duration(entry.seconds[name]) if name in entry.seconds else "n/a" for name in names]


def _value(entry: Entry, part: str, metric: str, with_interval: bool = False) -> str:
    row = entry.row_of(part)
    if row is None or metric not in row.cells:
        return "n/a"
    interval = row.cells[metric].interval
    mean = number(interval.mean)
    known = with_interval and not np.isnan(interval.mean)
    return f"{mean} {bracket(interval)}" if known else mean


def _gap(report: AblationReport, entry: Entry, part: str, metric: str) -> str:
    mine, theirs = entry.row_of(part), report.reference.row_of(part)
    if mine is not None and theirs is not None and mine.run.path == theirs.run.path:
        return "the same run"
    gap = report.compared(entry, part, metric)
    if gap is None or np.isnan(gap.difference):
        return "n/a"
    verdict = f"*{gap.verdict}*" if gap.verdict == UNDECIDED else gap.verdict
    ends = "no interval" if gap.withheld else f"[{_signed(gap.low)}, {_signed(gap.high)}]"
    return Markdown(f"{_signed(gap.difference)} {ends} {verdict}")


def _reasons(
    report: AblationReport, table: Table, as_code: Callable[[str], str], as_text: Callable[[str], str]
) -> list[str]:
    """The notes below a table: what variants change, what is missing and why, what was shared. Equal notes stand once.

    ``as_code`` and ``as_text`` write settings and other people's words by the rules of the page.
    """
    notes: dict[str, list[str]] = {}
    parts = dict.fromkeys(part for part, _ in report.columns(table))
    for title, entry in report.rows(table):
        settings = ", ".join(f"{key}={value}" for key, value in _settings(report, entry).items())
        about = "; ".join(filter(None, (as_text(entry.variant.note), as_code(settings) if settings else "")))
        own = [about] if about else []
        own += [as_text(f"no {part}: {reason}") for part in parts if (reason := entry.reason(part))]
        own += map(as_text, _undefined(report, entry, report.columns(table)))
        shared = entry.shared_stages.items()
        own += [f"stage {as_text(stage)} was taken over from {as_code(run)}" for stage, run in shared]
        for note in own:
            notes.setdefault(note, []).append(as_text(title))
    return [f"{', '.join(titles)}: {note.removesuffix('.')}." for note, titles in notes.items()]


def _quoted(text: str) -> str:
    """Code as a terminal shows it."""
    return f"`{printable(text)}`"


def _undefined(report: AblationReport, entry: Entry, columns: Sequence[tuple[str, str]]) -> list[str]:
    """Why metrics of a finished run or edit have no value or no difference; equal reasons stand together."""
    names: dict[str, list[str]] = {}
    for part, metric in columns:
        row = entry.row_of(part)
        if row is None:
            continue
        gap, verb = report.obstacle(entry, part, metric), "not compared"
        if metric in row.cells and row.cells[metric].reason:
            gap, verb = row.cells[metric].reason, "n/a"
        if gap is not None:
            names.setdefault(f"{verb}: {gap}", []).append(metric_label(metric))
    return [f"{', '.join(metrics)} {reason}" for reason, metrics in names.items()]


def _settings(report: AblationReport, entry: Entry) -> dict[str, str]:
    """The settings in which a variant differs from the reference; those of the edit have the prefix ``edit.``."""
    own: dict[str, str] = dict(entry.run.identity["settings"]) if entry.run else dict(entry.variant.settings)
    base = report.reference.run.identity["settings"] if report.reference.run else {}
    edits = {f"edit.{key}": value for key, value in (entry.variant.edit or {}).items()}
    return {key: value for key, value in own.items() if base.get(key) != value} | edits


def _paper_lines() -> list[str]:
    """The paper's table 4 as printed, with its errata."""
    table = load_paper_tables()["table-4"]
    about = (
        f"{SOURCE}, Table 4, as its authors measured it on their own videos: not ranked with ours, and no gain is "
        f"computed from it."
    )
    return [about, "", *published_table(table), "", *(f"- {line}" for line in errata(table))]


def _signed(value: float) -> str:
    return number(value) if np.isnan(value) else f"{'+' if value >= 0 else '-'}{number(abs(value))}"
