"""``emo-bench compare``: is one side better than another, metric by metric."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, finite, print_json

EXAMPLE = (
    "Example: emo-bench compare runs/self_reenactment/1/emo-avatar/cpu-s0 runs/self_reenactment/1/nearest-frame/cpu-s0"
)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN_A RUN_B [RUN]...", help="Run folders, or folders above them.")
    ],
    method: Annotated[str | None, typer.Option(metavar="GLOB", help="Only runs of methods whose name matches.")] = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, callback=finite, help="Confidence level of the intervals.")
    ] = 0.95,
    per_actor: Annotated[bool, typer.Option("--per-actor", help="A line for each actor, too.")] = False,
    as_json: Json = False,
) -> None:
    """Say per metric whether A is better than B, worse, or undecided, with difference, interval and effect size.

    Two folders are two sides; with more runs, those of RUN_A's method, settings and profile are A and each other kind
    is a B. Runs of several actors are clusters, runs of several seeds give the spread between seeds. What differs in
    protocol, split, resolution or backend is not compared.
    """
    from reports.compare.paired import as_json as plain
    from reports.compare.paired import compare_sides
    from reports.compare.sides import pair_sides

    if len(runs) < 2:
        raise typer.BadParameter("needs two runs or more", param_hint="RUN_A RUN_B")
    pairs, left_out = pair_sides(runs, method)
    comparisons = [compare_sides(a, b, level) for a, b in pairs]
    if as_json:
        print_json({"comparisons": [plain(comparison) for comparison in comparisons], "left_out": left_out})
        return
    from rich.console import Console

    from emo_bench.text.plain_text import printable
    from reports.compare.writing import print_comparison

    # A pipe has no width: 160 columns hold the table.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for comparison in comparisons:
        print_comparison(comparison, console, per_actor)
    for line in left_out:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
