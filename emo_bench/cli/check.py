"""``emo-bench check``: check scores against thresholds in a CI."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.defaults import all_runs
from emo_bench.cli.options import Json, RunsToRead, examples
from emo_bench.cli.output import print_columns, print_json, say

if TYPE_CHECKING:
    from reports.gate.checks import Outcome
    from reports.gate.stored_scores import ScoredRuns
    from reports.gate.thresholds import ThresholdFile

EXAMPLE = examples(
    "check --thresholds thresholds.toml",
    "check runs --thresholds thresholds.toml --junit check.xml",
    "check runs --thresholds thresholds.toml --update",
)


def check(
    thresholds: Annotated[
        Path, typer.Option(metavar="FILE", help="File with the thresholds; docs/ci.md describes it.")
    ],
    runs: RunsToRead = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Stored scores: a file or a folder of runs. Default: those of the threshold file."
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML to this file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a summary for a pull request to this file.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Store the scores of the runs, and show what changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check finished runs against thresholds, for example in a CI.

    A threshold is absolute or relative to stored scores. A metric that is n/a or was not measured fails its threshold.

    Exit codes: 0: all thresholds hold; 1: a threshold failed; 2: wrong input, for example a threshold that matches no
    run.
    """
    from reports.gate.checks import check_runs
    from reports.gate.stored_scores import group_seeds, load_stored_scores
    from reports.gate.thresholds import load_thresholds
    from reports.rows import read_rows, without_checksums

    file = load_thresholds(thresholds)
    runs = all_runs(runs, "checking every run")
    rows = read_rows(runs, finished_only=False)
    groups = group_seeds(rows)
    place = baseline or file.baseline
    if update:
        if junit or markdown:
            raise typer.BadParameter("--update only stores scores: leave out --junit and --markdown")
        _update(file, groups, place, as_json)
        return
    relative = any(threshold.relative for threshold in file.threshold)
    if relative and place is None:
        raise typer.BadParameter(
            "is missing: a threshold is relative, and the threshold file names no stored scores",
            param_hint="--baseline",
        )
    stored = load_stored_scores(place) if relative and place is not None else {}
    outcomes = check_runs(groups, file, stored)
    given = {group.key for group in groups}
    absent = [f"scores are also stored for {group.title}" for key, group in stored.items() if key not in given]
    absent += without_checksums(rows)
    _write(outcomes, absent, junit, markdown)
    _show(outcomes, absent, as_json)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)


def _write(outcomes: "list[Outcome]", notes: list[str], junit: Path | None, markdown: Path | None) -> None:
    from emo_bench.files import write_bytes
    from reports.gate import writing as gate_pages

    for path in filter(None, (junit, markdown)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if junit is not None:
        write_bytes(junit, gate_pages.junit(outcomes))
    if markdown is not None:
        write_bytes(markdown, gate_pages.markdown(outcomes, notes).encode())


def _show(outcomes: "list[Outcome]", notes: list[str], as_json: bool) -> None:
    from reports.gate.writing import plain_outcome, print_outcomes

    if as_json:
        passed = all(outcome.passed for outcome in outcomes)
        print_json({"passed": passed, "outcomes": [plain_outcome(outcome) for outcome in outcomes], "notes": notes})
        return
    from rich.console import Console

    # A pipe has no width: 180 columns are enough for the table.
    print_outcomes(outcomes, Console() if sys.stdout.isatty() else Console(width=180))
    for note in notes:
        say(f"note: {note}")


def _update(file: "ThresholdFile", groups: "list[ScoredRuns]", place: Path | None, as_json: bool) -> None:
    """Store scores, and print what changed."""
    from reports.gate.updating import update_stored_scores

    if place is None or place.is_dir():
        raise typer.BadParameter("must name a file that --update can write", param_hint="--baseline")
    lines = update_stored_scores(place, file, groups)
    if as_json:
        names = ("runs", "metric", "before", "after", "change", "verdict")
        changes = [dict(zip(names, line, strict=True)) for line in lines]
        print_json({"baseline": place, "changes": changes})
        return
    print_columns(("runs", "metric", "before", "after", "change", ""), lines)
    say(f"stored in {place}")
