"""``emo-bench show``: a run on one screen."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.defaults import RUNS, announce
from emo_bench.cli.options import Json, examples
from emo_bench.cli.output import print_json

EXAMPLE = examples("show", "show runs/self_reenactment/1/emo-avatar/cpu-s0")


def show(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run, finished or not. For a folder with runs below it, the newest finished run is shown. "
            "Default: runs.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one run on one screen.

    The screen has the stages, the scores beside those of the trivial methods, the losses, the edits, notes, and the
    command that makes the run again.
    """
    from emo_bench.runs.finished import newest_finished
    from emo_bench.runs.manifest import MANIFEST
    from reports.pages.terminal import PLAIN_WIDTH, run_record, show_run

    if run is None or (run.is_dir() and not (run / MANIFEST).is_file()):
        folder = run or RUNS
        run = newest_finished([folder])
        announce(f"showing {run} (the newest finished run in {folder})")
    if as_json:
        print_json(run_record(run))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    show_run(run, console)
