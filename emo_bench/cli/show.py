"""``emo-bench show``: a run on one screen."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, print_json

EXAMPLE = "Example: emo-bench show runs/self_reenactment/1/emo-avatar/cpu-s0"


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, finished or not.")], as_json: Json = False
) -> None:
    """Show a run: what it is, its stages, scores beside those of the trivial methods, losses, edits, notes and its
    command.
    """
    from reports.pages.terminal import PLAIN_WIDTH, run_record, show_run

    if as_json:
        print_json(run_record(run))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    show_run(run, console)
