"""Print comparisons of two sides on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emo_bench.statistics.differences import BETTER, UNDECIDED, WORSE, Difference
from emo_bench.text.plain_text import printable, unmarked
from reports.columns import Column, lay_out, print_whole
from reports.compare.paired import Comparison, MetricResult
from reports.compare.sides import Side
from reports.differences import fails_more
from reports.numbers import ARROWS, metric_label, number, span, worth
from reports.ranking import LOST_SHARE
from reports.rows import without_checksums

if TYPE_CHECKING:
    from rich.console import Console

# The columns that a narrow terminal leaves out, in this order.
SPARE = {"worth n": 4, "frames": 1, "A wins": 2, "effect": 3}
COLOURS = {BETTER: "green", WORSE: "red", UNDECIDED: "yellow"}


def print_comparison(comparison: Comparison, console: Console, per_actor: bool = False) -> None:
    """Print a comparison: one line for each metric, and with ``per_actor`` also one for each metric and actor."""
    from rich.table import Table

    ground = comparison.ground
    smoke = "SMOKE, not a result: " if ground["smoke"] else ""
    style = f", {ground['style']}" if ground["style"] else ""
    actors = ", ".join(comparison.actors)
    heading = (
        f"{smoke}{ground['protocol']} v{ground['protocol version']}, split {ground['split']}, "
        f"{ground['resolution_px']} px{style}, actor{'s' * (len(comparison.actors) > 1)} {actors}"
    )
    console.print(printable(heading), highlight=False, markup=False, soft_wrap=True)
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        console.print(printable(f"{letter}: {_side_line(side)}"), highlight=False, markup=False, soft_wrap=True)
    level = next(r.overall.level for r in comparison.results if r.overall is not None)
    rows: list[list[str]] = []
    for result in comparison.results:
        if result.overall is None:
            continue
        rows.append([unmarked(_title(result)), *_cells(result.overall), _verdict(result.overall)])
        for actor, found in result.by_actor.items() if per_actor else ():
            rows.append([f"[dim]  {unmarked(actor)}[/]", *_cells(found), _verdict(found)])
    names = ("metric", "A", "B", "A - B", f"{level:.0%} interval", "effect", "A wins", "frames", "worth n", "A is")
    columns = [
        Column(name, cells, right=name not in ("metric", "A is"), foldable=name == "metric", spare=SPARE.get(name, 0))
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    ]
    layout = lay_out(columns, console.width - 1, gap=3)
    table = Table()
    layout.fill(table)
    print_whole(table, layout.width + 1, console)
    if layout.left_out:
        console.print(layout.note(), highlight=False, markup=False, soft_wrap=True)
    for line in notes(comparison):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def notes(comparison: Comparison) -> list[str]:
    """The notes below the table: metrics left out, what the interval is about, seeds, frames left out."""
    rows = [*comparison.a.rows, *comparison.b.rows]
    compared = [result for result in comparison.results if result.overall is not None]
    lines = [f"{r.metric}: {r.reason}" for r in comparison.results if r.overall is None]
    first = next(result.overall for result in compared if result.overall is not None)
    if first.subjects > 1:
        lines.append(f"the interval is about actors like these {first.subjects}; each actor is one cluster")
    sides = (("A", comparison.a, first.seeds_a), ("B", comparison.b, first.seeds_b))
    # A trivial method draws no random numbers, so its seed means nothing.
    single = [name for name, side, seeds in sides if seeds < 2 and not all(row.trivial for row in side.rows)]
    if single:
        have = "have one seed each" if len(single) > 1 else "has one seed"
        lines.append(f"{' and '.join(single)} {have}: the verdict is about these fitted avatars, not about the methods")
    spreads = [
        f"{r.metric} {name} {number(spread)}"
        for r in compared
        if r.overall is not None
        for name, spread in (("A", r.overall.spread_a), ("B", r.overall.spread_b))
        if not math.isnan(spread)
    ]
    if spreads:
        lines.append(f"standard deviation between seeds: {', '.join(spreads)}")
    for result in compared:
        found = result.overall
        if found is not None and found.n < found.n_frames:
            infinite = f", {found.n_infinite} because one side is infinite" if found.n_infinite else ""
            of_sides = [f"{name} has none on {n}" for name, n in zip("AB", result.lacking, strict=True) if n]
            lacking = f" ({', '.join(of_sides)}{': ' * bool(result.undefined)}{result.undefined})" if of_sides else ""
            lines.append(
                f"{result.metric}: {found.n_frames - found.n} of {found.n_frames} frames are left out, because a side "
                f"has no score that can be compared{lacking}{infinite}"
            )
            if fails_more(found):
                lines.append(
                    f"{result.metric}: undecided, because the side that is better on the compared frames has no score "
                    f"on more than {LOST_SHARE:.0%} of the frames on which the other has one"
                )
        if found is not None and found.withheld:
            lines.append(f"{result.metric}: no interval and no verdict, because {found.withheld}")
    return lines + without_checksums(rows)


def _side_line(side: Side) -> str:
    rows = side.rows
    seeds = sorted({row.identity["seed"] for row in rows})
    where = str(rows[0].run.path) if len(rows) == 1 else f"{len(rows)} runs"
    return f"{side.name}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, {where}"


def _title(result: MetricResult) -> str:
    unit = "" if result.unit == "1" else f" {result.unit}"
    return f"{metric_label(result.metric)} {ARROWS[result.direction]}{unit}"


def _cells(found: Difference) -> list[str]:
    interval = "no interval" if found.withheld else span(found.low, found.high)
    effect = "n/a" if math.isnan(found.effect_size) else f"{found.effect_size:+.2f}"
    wins = "n/a" if math.isnan(found.wins) else f"{found.wins:.0%}"
    signed = "" if not found.difference > 0 else "+"
    return [
        number(found.mean_a),
        number(found.mean_b),
        signed + number(found.difference),
        interval,
        effect,
        wins,
        str(found.n),
        worth(found.n_effective),
    ]


def _verdict(found: Difference) -> str:
    return f"[{COLOURS[found.verdict]}]{found.verdict}[/]"
