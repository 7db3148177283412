"""A whole report in a folder: Markdown, CSV long and wide, LaTeX, JSON, HTML, and figures of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emo_bench.files import write_bytes
from emo_bench.text.csv_text import csv_text
from emo_bench.text.plain_text import json_text
from reports.figures.lineup import line_up_all
from reports.pages.content import report_content
from reports.pages.html import PageOptions, render_page
from reports.pages.latex import latex_report
from reports.pages.writing import write_tables
from reports.ranking import Group
from reports.tables import LeftOut, long_rows, read_groups, wide_table

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
    content = report_content(groups, left_out)
    lineups = line_up_all(groups)
    page = render_page(groups, content, options or PageOptions(), lineups)
    files = {
        HTML: page.encode(),
        WIDE: csv_text(wide_table(long_rows(groups))).encode(),
        LATEX: latex_report(groups, lineups).encode(),
        JSON: (json_text(content, indent=1) + "\n").encode(),
        **{lineup.name: lineup.jpeg for lineup in lineups},
    }
    markdown = write_tables(groups, left_out, out, lineups)
    for name, content_bytes in files.items():
        write_bytes(out / name, content_bytes)
    page_path, *others = (out / name for name in files)
    return [page_path, markdown, markdown.with_suffix(".csv"), *others]
