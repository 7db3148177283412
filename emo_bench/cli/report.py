"""``emo-bench report``: tables of finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Json, print_json

EXAMPLE = "Example: emo-bench report runs/self_reenactment --out report"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUNS]...", help="Run folders, or folders above them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes; default the first of RUNS.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write report.md and report.csv: means, confidence intervals, backends, times, the paper's table.

    RUNS defaults to the folder runs. Runs under different protocols, splits, resolutions or backends stand in
    separate tables.
    """
    from emo_bench.store import find_runs
    from reports import long_table, summary, write_report

    given = runs or [Path("runs")]
    folders = find_runs(given)
    written = write_report(folders, out or given[0])
    if as_json:
        print_json({"report": written, "rows": long_table(folders).to_dict("records")})
        return
    print(summary(folders))
    print(f"report   {written}")
