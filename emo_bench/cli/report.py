"""``emo-bench report``: tables, curves and clips of finished runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, print_json, say

EXAMPLE = "Example: emo-bench report runs --out report"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUNS]...", help="Run folders, or folders above them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes; default the first of RUNS.")
    ] = None,
    videos: Annotated[
        bool, typer.Option("--videos/--no-videos", help="Embed clips of source and ours in report.html.")
    ] = True,
    video_px: Annotated[
        int, typer.Option(min=32, max=1024, help="At most so many pixels high are the embedded clips.")
    ] = 256,
    as_json: Json = False,
) -> None:
    """Write report.html, .md, .csv, .tex and .json: means, intervals, curves, clips, times, commands, the paper's
    tables.

    RUNS defaults to the folder runs. Runs under different protocols, splits, resolutions or backends stand in
    separate tables. report.html is one file that opens without a network. A damaged run is left out with a warning;
    exit code 2 when no whole one is left.
    """
    from emo_bench.runs.finished import find_runs
    from reports import long_table, summary
    from reports.pages.html import PageOptions
    from reports.publishing import publish
    from reports.tables import read_groups

    given = runs or [Path("runs")]
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
