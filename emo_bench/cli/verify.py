"""``emo-bench verify``: check that runs are as they were written, and that their scores come out again."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.defaults import all_runs
from emo_bench.cli.options import Device, Json, RunsToRead, examples
from emo_bench.cli.output import print_json, say

if TYPE_CHECKING:
    from emo_bench.runs.verification import Verified

EXAMPLE = examples(
    "verify",
    "verify runs/self_reenactment/1/emo-avatar/cpu-s0 --render",
    "verify received --tolerance st-lpips-vgg=0.001 --strict",
)


def verify(
    runs: RunsToRead = None,
    render: Annotated[
        bool, typer.Option("--render", help="Also render the held-out frames again from the checkpoint.")
    ] = False,
    checksums_only: Annotated[
        bool, typer.Option("--checksums-only", help="Check the files only; score nothing again.")
    ] = False,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="Allowed difference of a metric's score in a frame. Default: 0 on the machine of the run, and the "
            "values of docs/verify.md on another one. Repeatable.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail also if something cannot be checked (n/a).")] = False,
    device: Device = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the execution of method and metric files that run.json names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check runs for changes, and score them again.

    Every file is compared with its checksum in run.json. The stored frames are scored again, with the metrics, captions
    and frames of the run, and each score is compared with the stored one. With --render the frames are rendered again
    from the checkpoint too. Nothing in the runs is changed.

    Exit codes: 0: everything that could be checked is the same; 1: something differs, and a table says what; 2: wrong
    input, for example a folder without runs.
    """
    from emo_bench.cli import status
    from emo_bench.runs.finished import find_runs
    from emo_bench.runs.verification import Verification
    from emo_bench.runs.verification import verify as verify_run
    from emo_bench.system.devices import chosen_device

    if render and checksums_only:
        raise typer.BadParameter("leave out --render: only files are checked", param_hint="--checksums-only")
    how = Verification(
        not checksums_only, render, chosen_device(device) if device else None, _tolerances(tolerance or []), trust
    )
    folders = find_runs(all_runs(runs, "verifying every run"))
    with status.log_on_stderr():
        verified = [verify_run(folder, how) for folder in folders]
    failed = any(not run.holds or (strict and run.count("n/a")) for run in verified)
    if as_json:
        print_json({"holds": not failed, "runs": verified})
    else:
        _show(verified)
    if failed:
        raise typer.Exit(1)


def _tolerances(given: list[str]) -> dict[str, float]:
    """Return the allowed difference by metric id."""
    from emo_bench.runs.verification import allowed_differences

    parts = [text.rpartition("=") for text in given]
    for text, (metric, _, _) in zip(given, parts, strict=True):
        if not metric:
            raise typer.BadParameter(f"{text}: give METRIC=VALUE, as in psnr=0.001", param_hint="--tolerance")
    return allowed_differences({metric: value for metric, _, value in parts})


def _show(verified: "list[Verified]") -> None:
    """Print a table of what differs or could not be checked, and a line for each run."""
    from rich.console import Console
    from rich.table import Table

    from emo_bench.text.plain_text import unmarked

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "what", "state", "difference", "allowed", "found"):
        table.add_column(name, overflow="fold", justify="right" if name in ("difference", "allowed") else "left")
    colours = {"differs": "red", "n/a": "yellow"}
    for run in verified:
        for check in run.checks:
            if check.state in colours:
                state = f"[{colours[check.state]}]{check.state}[/]"
                numbers = ("" if n is None else f"{n:.3g}" for n in (check.difference, check.allowed))
                table.add_row(unmarked(run.path.as_posix()), check.what, state, *numbers, unmarked(check.detail))
    if table.row_count:
        # A pipe has no width: 200 columns are enough for the table.
        console = Console(highlight=False) if sys.stdout.isatty() else Console(width=200, highlight=False)
        console.print(table)
    for run in verified:
        counts = f"{run.count('same')} checks hold, {run.count('differs')} differ, {run.count('n/a')} n/a"
        say(f"{run.path.as_posix()}: {counts}")
