"""A whole report in a folder: Markdown, CSV long and wide, LaTeX, JSON, HTML, and figures of the comparison."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from emo_bench.files import write_bytes
from emo_bench.text.csv_text import csv_text
from emo_bench.text.plain_text import json_text
from reports.figures.lineup import Lineup, line_up_all
from reports.pages.content import report_content
from reports.pages.html import MOST_DRAWN, PageOptions, is_drawn, render_page
from reports.pages.latex import latex_report
from reports.pages.writing import REPORT, TABLE, markdown_report
from reports.ranking import Group
from reports.tables import LeftOut, long_rows, read_groups, wide_table

log = logging.getLogger("emo_bench")

WIDE, LATEX, JSON, HTML = "report_wide.csv", "report.tex", "report.json", "report.html"


def publish(folders: Sequence[Path], out: Path, options: PageOptions | None = None) -> list[Path]:
    """Write the report of the finished runs among ``folders`` into ``out`` in every format. Returns the files.

    Raises:
        UserError: no run is finished and undamaged.
    """
    groups, left_out = read_groups(folders)
    return publish_groups(groups, left_out, out, options)


def publish_groups(
    groups: Sequence[Group], left_out: LeftOut, out: Path, options: PageOptions | None = None
) -> list[Path]:
    """As :func:`publish`, of runs that have been read."""
    drawn = is_drawn(groups)
    if not drawn:
        log.warning(
            "the report has tables only, because charts, clips and line-ups are drawn for at most %d runs: for those, "
            "report fewer runs at a time",
            MOST_DRAWN,
        )
    lineups = line_up_all(groups) if drawn else []
    files = {
        **_pages(groups, left_out, lineups, options or PageOptions()),
        REPORT: markdown_report(groups, left_out, out, lineups).encode(),
        **_tables(groups),
        LATEX: latex_report(groups, lineups).encode(),
        **{lineup.name: lineup.jpeg for lineup in lineups},
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(out / name, content)
    order = (HTML, REPORT, TABLE, WIDE, LATEX, JSON, *(lineup.name for lineup in lineups))
    return [out / name for name in order]


def _pages(
    groups: Sequence[Group], left_out: LeftOut, lineups: Sequence[Lineup], options: PageOptions
) -> dict[str, bytes]:
    content = report_content(groups, left_out)
    # An indented file of many runs takes ten times as long.
    text = json_text(content, indent=1 if is_drawn(groups) else None) + "\n"
    return {JSON: text.encode(), HTML: render_page(groups, content, options, lineups).encode()}


def _tables(groups: Sequence[Group]) -> dict[str, bytes]:
    table = long_rows(groups)
    return {TABLE: csv_text(table).encode(), WIDE: csv_text(wide_table(table)).encode()}
