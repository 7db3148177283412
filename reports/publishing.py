"""A whole report in a folder: Markdown, CSV long and wide, LaTeX, JSON, HTML, and figures of the comparison."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emo_bench.files import write_bytes
from emo_bench.system.second_process import NoAnswer, SecondProcess
from emo_bench.text.csv_text import csv_text
from emo_bench.text.plain_text import json_text
from reports.figures.lineup import Lineup, line_up_all
from reports.pages.content import report_content
from reports.pages.html import MOST_DRAWN, PageOptions, is_drawn, render_page, render_undrawn_page
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
    groups: Sequence[Group],
    left_out: LeftOut,
    out: Path,
    options: PageOptions | None = None,
    helper: SecondProcess | None = None,
) -> list[Path]:
    """As :func:`publish`, of runs that have been read; a helper makes some of the files of a report of tables only."""
    options = options or PageOptions()
    if is_drawn(groups):
        lineups = line_up_all(groups)
        content = report_content(groups, left_out)
        page = render_page(groups, content, options, lineups)
        pages = {JSON: f"{json_text(content, indent=1)}\n".encode(), HTML: page.encode()}
        files = {**pages, **_other_files(groups, left_out, out, lineups)}
    else:
        log.warning(
            "the report has tables only, because charts, clips and line-ups are drawn for at most %d runs: for those, "
            "report fewer runs at a time",
            MOST_DRAWN,
        )
        lineups = []
        files = _undrawn_files(groups, left_out, out, options, helper)
    out.mkdir(parents=True, exist_ok=True)
    for name, whole in files.items():
        write_bytes(out / name, whole)
    order = (HTML, REPORT, TABLE, WIDE, LATEX, JSON, *(lineup.name for lineup in lineups))
    return [out / name for name in order]


def _undrawn_files(
    groups: Sequence[Group], left_out: LeftOut, out: Path, options: PageOptions, helper: SecondProcess | None
) -> dict[str, bytes]:
    content = report_content(groups, left_out)
    if helper is None:
        pages = undrawn_pages(content, options.clips)
        del content
        return {**pages, **_other_files(groups, left_out, out, [])}
    try:
        helper.ask(undrawn_pages, content, options.clips)
        del content
        others = _other_files(groups, left_out, out, [])
        return {**pickle.loads(helper.answer()), **others}
    except NoAnswer:
        return _undrawn_files(groups, left_out, out, options, None)


def undrawn_pages(content: dict[str, Any], clips_wanted: bool) -> dict[str, bytes]:
    """The files of a report of tables only that need nothing but its ``content``."""
    return {
        # An indented file of many runs takes ten times as long.
        JSON: f"{json_text(content, indent=None)}\n".encode(),
        HTML: render_undrawn_page(content, clips_wanted).encode(),
    }


def _other_files(groups: Sequence[Group], left_out: LeftOut, out: Path, lineups: Sequence[Lineup]) -> dict[str, bytes]:
    table = long_rows(groups)
    return {
        REPORT: markdown_report(groups, left_out, out, lineups).encode(),
        TABLE: csv_text(table).encode(),
        WIDE: csv_text(wide_table(table)).encode(),
        LATEX: latex_report(groups, lineups).encode(),
        **{lineup.name: lineup.jpeg for lineup in lineups},
    }
