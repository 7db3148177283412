"""Write report.md for people, report.csv for programs, and a summary for the terminal."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emo_bench.files import write_bytes
from emo_bench.runs.checksums import change_of
from emo_bench.runs.store import PREVIEW
from emo_bench.text.csv_text import csv_text
from emo_bench.text.plain_text import printable
from reports.figures.lineup import Lineup
from reports.markdown import Markdown, code, errata, escaped, image, link, mean_text, pipe_table, published_table
from reports.notes import interval_notes, old_protocol_note, old_records_note, score_notes
from reports.numbers import bracket, gib, group_title, heading, number, percent, share_heading, times
from reports.paper import paper_tables_for, table_title
from reports.ranking import Group
from reports.rows import Cell, Row, without_checksums
from reports.tables import LeftOut, long_rows, read_groups

log = logging.getLogger("emo_bench")

REPORT, TABLE = "report.md", "report.csv"
METRIC_COLUMNS = ("metric", "version", "better", "unit", "backend")


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write report.md and report.csv of the finished runs among ``folders`` into ``out``. Returns report.md.

    Raises:
        UserError: no run is finished and undamaged.
    """
    return write_tables(*read_groups(folders), out)


def write_tables(groups: Sequence[Group], left_out: LeftOut, out: Path) -> Path:
    """As :func:`write_report`, for runs that are already read."""
    table, page = csv_text(long_rows(groups)).encode(), markdown_report(groups, left_out, out).encode()
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / TABLE, table)
    write_bytes(out / REPORT, page)
    return out / REPORT


def summary(folders: Sequence[Path]) -> str:
    """The tables of a report as aligned text, for a terminal."""
    groups, _ = read_groups(folders)
    return summary_of(groups)


def summary_of(groups: Sequence[Group]) -> str:
    """:func:`summary` of runs that have been read."""
    blocks = []
    for group in groups:
        metrics = group.metrics
        header = ["actor", "method", *_kind_heading(group), *_headings(group), "fit", "render"]
        lines = [header]
        for rows in group.subjects:
            for row in rows:
                means = []
                for m in metrics:
                    means.append(number(row.cells[m].interval.mean))
                    means += [percent(row.cells[m].scored_share)] if m in group.incomplete else []
                named = [printable(row.subject_title), printable(row.title), *kind_cell(group, row)]
                lines.append([*named, *means, *times(row)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        notes = [f"note: {printable(note)}" for note in score_notes(group)]
        blocks.append("\n".join([printable(group_title(group)), *text, *notes]))
    return "\n\n".join(blocks)


def markdown_report(groups: Sequence[Group], left_out: LeftOut, out: Path, lineups: Sequence[Lineup] = ()) -> str:
    """The text of report.md, which lies in ``out`` with the figures."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        finalize=lambda value: escaped(str(value)) if not isinstance(value, Markdown) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.jinja").render(
        smoke=any(row.run.manifest["smoke"] for group in groups for row in group.rows),
        groups=[
            _view(group, out) | {"lineups": [image(x.title, x.name) for x in lineups if x.table == position]}
            for position, group in enumerate(groups, start=1)
        ],
        left_out={
            "unfinished": [code(str(path)) for path in left_out.unfinished],
            "damaged": list(left_out.damaged.values()),
        },
        papers=[
            {"title": table_title(table), "table": Markdown("\n".join(published_table(table))), "errata": errata(table)}
            for table in paper_tables_for(groups)
        ],
    )


def _view(group: Group, out: Path) -> dict[str, Any]:
    """The values that the template needs for a table."""
    first = group.rows[0]
    protocol = first.identity["protocol"]
    return {
        "title": group_title(group),
        "subtitle": first.run.manifest["protocol_title"],
        "hash": code(protocol["hash"][:12]),
        "table": _group_table(group, out),
        "averages": average_table(group),
        "subjects": len(group.subjects),
        "notes": [*group_notes(group), *interval_notes(group.rows)],
        "metrics": Markdown(
            "\n".join(pipe_table(METRIC_COLUMNS, [_metric_line(first.cells[m].record) for m in group.metrics]))
        ),
    }


def _group_table(group: Group, out: Path) -> Markdown:
    named = ["actor", "method", *_kind_heading(group), "profile, seed", "n"]
    header = [*named, *_headings(group), "fit", "render", "memory", "preview"]
    lines = []
    for rows in group.ranked:
        for row, ranks in rows:
            frames = row.stages["score"]["frames"]
            cells: list[str] = []
            for m, rank in ranks.items():
                cells.append(_cell_text(row.cells[m], rank == 1, frames))
                cells += [percent(row.cells[m].scored_share)] if m in group.incomplete else []
            identity = row.identity
            about = f"{identity['profile']}, {identity['seed']}"
            memory = gib(row.memory_mib)
            about_run = [row.subject_title, row.title, *kind_cell(group, row), about, str(frames)]
            lines.append([*about_run, *cells, *times(row), memory, _preview_link(row, out)])
    return Markdown("\n".join(pipe_table(header, lines)))


def kind_cell(group: Group, row: Row) -> list[str]:
    """The kind of a row as a cell; no cell in a table that is not of edits."""
    return [row.kind] if group.kinds else []


def _kind_heading(group: Group) -> list[str]:
    return ["kind"] if group.kinds else []


def _headings(group: Group) -> list[str]:
    """The headings of the metrics; a metric without a score on some frames has a second column, their share."""
    found = []
    for metric in group.metrics:
        cell = group.rows[0].cells[metric]
        found += [heading(cell), *([share_heading(cell)] if metric in group.incomplete else [])]
    return found


def _preview_link(row: Row, out: Path) -> str:
    """A link to the run's preview; empty if there is none."""
    preview = row.run.path / PREVIEW
    if not preview.is_file():
        return ""
    change = change_of(row.run.path, PREVIEW, row.run.manifest)
    if change is not None:
        log.warning("%s: the link to it is left out", change)
        return ""
    # Path.relative_to cannot go up before Python 3.12; os.path.relpath can.
    return link("video", Path(os.path.relpath(preview, out)).as_posix())


def average_table(group: Group) -> Markdown:
    """The table of means over the actors, with the best one bold; empty if no method ran on all of several actors."""
    if not group.averages:
        return Markdown("")
    header = ["method", *_kind_heading(group), "profile, seed", *_headings(group)]
    lines = []
    for average in group.averages:
        about = f"{average.first.identity['profile']}, {' '.join(map(str, average.seeds))}"
        cells: list[str] = []
        for m in group.metrics:
            cells.append(mean_text(average.mean(m), average.ranks[m] == 1))
            cells += [percent(average.scored_share(m))] if m in group.incomplete else []
        lines.append([average.first.title, *kind_cell(group, average.first), about, *cells])
    return Markdown("\n".join(pipe_table(header, lines)))


def _cell_text(cell: Cell, best: bool, frames: int) -> Markdown:
    """The text of a cell, as in ``**29.41** [28.90, 29.90]``; it says in words what is undefined or infinite."""
    interval = cell.interval
    if cell.reason:
        return Markdown("n/a")
    notes = []
    if interval.n != frames:
        notes.append(f"n={interval.n}")
    if math.isinf(interval.mean):
        rest = cell.finite
        others = f"; the others {number(rest.mean)} {bracket(rest)}" if rest.n else ""
        notes.append(f"{cell.infinite} frames identical{others}")
    mean = mean_text(interval.mean, best)
    ends = f" {bracket(interval)}" if math.isfinite(interval.mean) else ""
    remark = f" ({'; '.join(notes)})" if notes else ""
    return Markdown(f"{mean}{ends}{remark}")


def group_notes(group: Group) -> list[str]:
    """The notes below a table: what is n/a or not ranked, flags of the runs, interrupted fits, machines."""
    notes: dict[str, None] = dict.fromkeys([*score_notes(group), *old_records_note(group), *old_protocol_note(group)])
    for row in group.rows:
        for flag in row.run.manifest["flags"]:
            notes[f"Actor {row.subject.actor}: {flag}."] = None
        split = row.run.manifest["split"]
        if split["faceless"]:
            notes[f"Actor {row.subject.actor}: these frames show no face: {split['faceless']}."] = None
    for row in group.rows:
        if row.stages["fit"]["attempts"] > 1:
            notes[
                f"Actor {row.subject.actor}, {row.title}: the fit was interrupted and resumed; its time is that of "
                "the last part."
            ] = None
    notes |= dict.fromkeys(without_checksums(group.rows))
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
