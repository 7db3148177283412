"""A whole report into a folder: Markdown, CSV long and wide, LaTeX, JSON, HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from emo_bench.store import write_bytes
from reports.content import report_content
from reports.html import PageOptions, render_page
from reports.latex import latex_report
from reports.tables import long_rows, read_groups, wide_table
from reports.writing import write_tables

WIDE, LATEX, JSON, HTML = "report_wide.csv", "report.tex", "report.json", "report.html"


def publish(folders: Sequence[Path], out: Path, options: PageOptions | None = None) -> list[Path]:
    """Write every form of the report of the finished runs among ``folders`` into ``out``; returns the files.

    Raises:
        UserError: none is finished, or one is damaged.
    """
    groups, unfinished = read_groups(folders)
    content = report_content(groups, unfinished)
    page = render_page(groups, content, options or PageOptions())
    texts = {
        WIDE: wide_table(long_rows(groups)).to_csv(index=False),
        LATEX: latex_report(groups),
        JSON: json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        HTML: page,
    }
    markdown = write_tables(groups, unfinished, out)
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    return [out / HTML, markdown, markdown.with_suffix(".csv"), *(out / name for name in (WIDE, LATEX, JSON))]
