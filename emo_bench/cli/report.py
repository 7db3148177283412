"""``emo-bench report``: tables, curves and clips of finished runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.api.arguments import VIDEO_PX
from emo_bench.cli.defaults import all_runs
from emo_bench.cli.options import Json, RunsToRead, examples
from emo_bench.cli.output import as_given, print_json, say

EXAMPLE = examples("report", "report runs --out report")


def report(
    runs: RunsToRead = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the report. Default: the first of RUNS.")
    ] = None,
    videos: Annotated[bool, typer.Option("--videos/--no-videos", help="Embed video clips in report.html.")] = True,
    video_px: Annotated[
        int, typer.Option(min=VIDEO_PX[0], max=VIDEO_PX[-1], help="Maximum height of embedded clips, in pixels.")
    ] = 256,
    as_json: Json = False,
) -> None:
    """Write a report of finished runs: tables, curves and clips.

    The files are report.html, report.md, report.csv, report.tex and report.json. They hold means with confidence
    intervals, the score of every frame, times, the commands that make the runs again, and the tables of the paper.
    report.html is one file that opens without a network.

    Runs with different protocols, splits, resolutions or backends are put into separate tables. A damaged run is left
    out with a warning. Exit codes: 0: at least one run is in the report; 2: wrong input, or no undamaged run.
    """
    import gc

    import emo_bench

    # The command ends soon, and it would spend a tenth of its time on the search for garbage among 10,000 runs.
    gc.disable()
    chosen = all_runs(runs, "reporting every run")
    written = emo_bench.report(chosen, out, videos=videos, video_px=video_px)
    files = [as_given(file, out or chosen[0]) for file in written.files]
    for reason in written.left_out:
        print(f"warning: left out: {reason}", file=sys.stderr)
    if as_json:
        rows = written.scores.to_dict("records")
        print_json({"report": files[0], "files": files, "rows": rows})
        return
    if sys.stdout.isatty():
        from rich.console import Console

        from reports.pages.terminal import print_tables

        print_tables(written.tables, Console(highlight=False))
    else:
        from reports.pages.writing import summary_of

        print(summary_of(written.tables))
    for path in files:
        say(f"report   {path}")
