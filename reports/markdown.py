"""Tables in Markdown: ours, and the paper's with the marks of their errata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.numbers import ARROWS, number
from reports.paper import PaperTable


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; pipes and line breaks inside a cell do not break it."""
    lines = [list(header), ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def mean_text(mean: float, best: bool) -> str:
    """A mean as a table prints it, bold where it is the best."""
    return f"**{number(mean)}**" if best else number(mean)


def published_table(table: PaperTable) -> list[str]:
    """The lines of a published table, values as printed, ``[n]`` where the n-th line of :func:`errata` speaks of one."""
    marks = {name: f"[{n}]" for n, name in enumerate(table.errata, start=1)}
    rows = []
    for row in table.rows:
        flags = [marks.get(row.flags.get(metric.id, ""), "") for metric in table.metrics]
        cells = [f"{value} {flag}".strip() for value, flag in zip(row.values, flags, strict=True)]
        rows.append([row.method, *cells])
    return pipe_table(["method", *(f"{m.label} {ARROWS[m.direction]}" for m in table.metrics)], rows)


def errata(table: PaperTable) -> list[str]:
    """What is wrong with a published table, numbered."""
    return [f"[{n}] {text}" for n, text in enumerate(table.errata.values(), start=1)]


def escaped(text: str) -> str:
    """Text that breaks neither a table nor a line."""
    return text.replace("|", "\\|").replace("\n", " ")
