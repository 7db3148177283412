"""``emo-bench compare``: test whether one side is better than another, metric by metric."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.defaults import RUNS, announce
from emo_bench.cli.options import Json, examples, finite
from emo_bench.cli.output import print_json

EXAMPLE = examples("compare", "compare before after", "compare before after --method emo-avatar")


def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN",
            help="Run folders, or folders with runs below them. Default: the newest finished run below runs, and the "
            "trivial method beside it.",
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Compare only runs of methods with a matching name.")
    ] = None,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, callback=finite, help="Confidence level of the intervals.")
    ] = 0.95,
    per_actor: Annotated[bool, typer.Option("--per-actor", help="Also print a line for each actor.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs metric by metric, with confidence intervals.

    For each metric the command says whether A is better than B, worse, or undecided, with the difference, its interval
    and the effect size.

    Two folders are the two sides A and B. With three or more folders, A is the method of the first run, with its
    settings and profile, and every other method is a B. With one folder or none, A is the newest finished run and B is
    the trivial method beside it.

    Runs of several actors are treated as clusters. Runs with several seeds give the spread between seeds. Runs are not
    compared if they differ in protocol, split, resolution or backend.
    """
    from reports.compare.paired import as_json as plain
    from reports.compare.paired import compare_sides
    from reports.compare.sides import pair_sides

    if runs is None or len(runs) < 2:
        if method is not None:
            raise typer.BadParameter("needs two folders or more", param_hint="--method")
        runs = _newest_pair(runs or [RUNS])
    pairs, left_out = pair_sides(runs, method)
    comparisons = [compare_sides(a, b, level) for a, b in pairs]
    if as_json:
        print_json({"comparisons": [plain(comparison) for comparison in comparisons], "left_out": left_out})
        return
    from rich.console import Console

    from emo_bench.text.plain_text import printable
    from reports.compare.writing import print_comparison

    # A pipe has no width: 160 columns are enough for the table.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for comparison in comparisons:
        print_comparison(comparison, console, per_actor)
    for line in left_out:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _newest_pair(folders: list[Path]) -> list[Path]:
    """Return the newest run below the folders and the trivial method's run beside it; print a line that names them."""
    from reports.compare.newest import newest_pair

    newest, trivial = newest_pair(folders)
    where = ", ".join(map(str, folders))
    announce(f"comparing {newest} (the newest finished run in {where}) with {trivial} (the trivial method beside it)")
    return [newest, trivial]
