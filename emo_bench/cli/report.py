"""``emo-bench report``: tables, curves and clips of finished runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.defaults import all_runs
from emo_bench.cli.options import Json, RunsToRead, examples
from emo_bench.cli.output import print_json, say

EXAMPLE = examples("report", "report runs --out report")


def report(
    runs: RunsToRead = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the report. Default: the first of RUNS.")
    ] = None,
    videos: Annotated[bool, typer.Option("--videos/--no-videos", help="Embed video clips in report.html.")] = True,
    video_px: Annotated[int, typer.Option(min=32, max=1024, help="Maximum height of embedded clips, in pixels.")] = 256,
    as_json: Json = False,
) -> None:
    """Write a report of finished runs: tables, curves and clips.

    The files are report.html, report.md, report.csv, report.tex and report.json. They hold means with confidence
    intervals, the score of every frame, times, the commands that make the runs again, and the tables of the paper.
    report.html is one file that opens without a network.

    Runs with different protocols, splits, resolutions or backends are put into separate tables. A damaged run is left
    out with a warning. Exit codes: 0: at least one run is in the report; 2: wrong input, or no undamaged run.
    """
    from emo_bench.runs.finished import find_runs
    from reports import long_table, summary
    from reports.pages.html import PageOptions
    from reports.publishing import publish
    from reports.tables import read_groups

    given = all_runs(runs, "reporting every run")
    folders = find_runs(given)
    groups, left_out = read_groups(folders)
    for reason in left_out.damaged.values():
        print(f"warning: left out: {reason}", file=sys.stderr)
    written = publish(folders, out or given[0], PageOptions(clips=videos, panel_px=video_px))
    if as_json:
        print_json({"report": written[0], "files": written, "rows": long_table(folders).to_dict("records")})
        return
    if sys.stdout.isatty():
        from rich.console import Console

        from reports.pages.terminal import print_tables

        print_tables(groups, Console(highlight=False))
    else:
        print(summary(folders))
    for path in written:
        say(f"report   {path}")
