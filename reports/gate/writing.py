"""Write the outcomes of ``emo-bench check`` for a terminal, a pull request and a CI server."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from emo_bench.statistics.differences import SubjectScores, compare_scores
from emo_bench.text.plain_text import printable
from reports.gate.checks import Outcome
from reports.gate.stored_scores import Key, ScoredRuns
from reports.markdown import escaped, pipe_table
from reports.numbers import ARROWS, finite, metric_label, number, span

if TYPE_CHECKING:
    from rich.console import Console

# Characters that XML 1.0 does not allow, and carriage return, which a reader would turn into a line feed.
ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HEADINGS = ("", "runs", "metric", "now", "stored", "worse by", "allowed", "limit")


def summary_line(outcomes: Sequence[Outcome]) -> str:
    """``2 of 12 thresholds failed``."""
    failed = sum(not outcome.passed for outcome in outcomes)
    plural = "" if len(outcomes) == 1 else "s"
    return (
        f"{failed} of {len(outcomes)} threshold{plural} failed"
        if failed
        else (f"all {len(outcomes)} thresholds met" if plural else "the threshold is met")
    )


def print_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print a table with the failures first, and the reason of each failure below it."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("", "runs", "metric", "limit") else "right")
    for outcome in outcomes:
        mark = Text("ok", style="green") if outcome.passed else Text("FAIL", style="bold red")
        table.add_row(mark, *(Text(printable(cell)) for cell in _cells(outcome)))
    console.print(table)
    for outcome in outcomes:
        if not outcome.passed:
            line = printable(f"FAIL {outcome.runs}: {outcome.metric}: {outcome.reason}")
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(summary_line(outcomes), highlight=False, markup=False)


def markdown(outcomes: Sequence[Outcome], notes: Iterable[str] = ()) -> str:
    """A summary for a pull request: the failures, and the other outcomes in a folded section."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    met = [outcome for outcome in outcomes if outcome.passed]
    lines = [f"### {'❌' if failed else '✅'} emo-bench check: {summary_line(outcomes)}", ""]
    if failed:
        lines += _markdown_table(failed)
    if met:
        lines += ["", f"<details><summary>{len(met)} met</summary>", "", *_markdown_table(met), "", "</details>"]
    lines += ["", *(f"- {escaped(note)}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """JUnit XML: one suite for each method and actor, one case for each threshold and metric."""
    suites = ElementTree.Element("testsuites", {"name": "emo-bench check", **_counts(outcomes)})
    for runs in dict.fromkeys((outcome.protocol, outcome.runs) for outcome in outcomes):
        own = [outcome for outcome in outcomes if (outcome.protocol, outcome.runs) == runs]
        name = _legal(f"{runs[0]}: {runs[1]}")
        suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **_counts(own)})
        for outcome in own:
            case = ElementTree.SubElement(
                suite, "testcase", classname=name, name=_legal(f"{outcome.metric}: {outcome.limit}"), time="0"
            )
            if not outcome.passed:
                failure = ElementTree.SubElement(case, "failure", type="threshold", message=_legal(outcome.reason))
                failure.text = _legal(
                    f"{outcome.run}\nnow {_or_none(outcome.value)}, stored {_or_none(outcome.stored)}, "
                    f"worse by {_or_none(outcome.worse_by)}, allowed {_or_none(outcome.allowed)}"
                )
    ElementTree.indent(suites)
    return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"


def plain_outcome(outcome: Outcome) -> dict[str, Any]:
    """An outcome for ``--json``; NaN and infinity become None."""
    return {"baseline" if name == "stored" else name: finite(value) for name, value in vars(outcome).items()}


def update_lines(before: Mapping[Key, ScoredRuns], after: Iterable[ScoredRuns]) -> list[tuple[str, ...]]:
    """What ``--update`` changes: runs, metric, before, after, difference with its interval, and verdict."""
    lines: list[tuple[str, ...]] = []
    for group in after:
        old = before.get(group.key)
        for name, metric in group.metrics.items():
            now = number(_mean(metric.scores))
            if old is None or name not in old.metrics:
                lines.append((group.title, name, "", now, "new", ""))
            elif old.frames != group.frames or old.facts != group.facts:
                lines.append((group.title, name, number(_mean(old.metrics[name].scores)), now, "not comparable", ""))
            else:
                pair = SubjectScores(metric.scores, old.metrics[name].scores)
                found = compare_scores([pair], metric.record["direction"])
                ends = f"(no interval: {found.withheld})" if found.withheld else span(found.low, found.high)
                change = f"{number(found.difference)} {ends}"
                verdict = "the same" if found.difference == 0 else found.verdict
                lines.append((group.title, name, number(_mean(old.metrics[name].scores)), now, change, verdict))
    return lines


def _cells(outcome: Outcome) -> list[str]:
    metric = metric_label(outcome.metric)
    values = (outcome.value, outcome.stored, outcome.worse_by, outcome.allowed)
    return [
        outcome.runs,
        f"{metric} {ARROWS.get(outcome.direction, '')}".strip(),
        *("" if value is None else number(value) for value in values),
        outcome.limit,
    ]


def _markdown_table(outcomes: Sequence[Outcome]) -> list[str]:
    return pipe_table([*HEADINGS[1:], "why"], [[*_cells(outcome), outcome.reason] for outcome in outcomes])


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    failed = sum(not outcome.passed for outcome in outcomes)
    return {"tests": str(len(outcomes)), "failures": str(failed), "errors": "0", "skipped": "0"}


def _mean(scores: np.ndarray) -> float:
    return float(np.nanmean(scores)) if not np.isnan(scores).all() else math.nan


def _or_none(value: float | None) -> str:
    return "none" if value is None else number(value)


def _legal(text: str) -> str:
    """The text with U+FFFD for every character that XML 1.0 does not allow."""
    return ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
