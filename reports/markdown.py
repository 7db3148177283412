"""Markdown: text of others is escaped here; tables, links, code, and the paper's tables with marks of their errata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from emo_bench.text.plain_text import printable
from reports.numbers import ARROWS, number
from reports.paper import PaperTable

# What begins emphasis, code, links, pictures, HTML, entities, formulas or a cell. An underscore inside a word begins
# nothing.
SPECIAL = re.compile(r"[\\`*<\[\]|~$]|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])")
# What begins a heading, a list, a quotation, a rule or the underline of a heading; only at the start of a line.
OPENING = re.compile(r"^(?:>|[#+=-]+(?=\s|$)|\d+(?=[.)](?:\s|$)))")
# Markdown makes links of addresses even without a mark.
ADDRESS = re.compile(r"(?<=:)//|(?i:\bwww)(?=\.)")


class Markdown(str):
    """Text that this program wrote as Markdown; it is not escaped again."""

    __slots__ = ()


def escaped(text: str) -> Markdown:
    """Escape somebody else's text, so that Markdown shows it unchanged on one line."""
    if isinstance(text, Markdown):
        return text
    line = SPECIAL.sub(r"\\\g<0>", printable(text).strip())
    line = ADDRESS.sub(lambda found: f"{found[0]}\\" if found[0] != "//" else "\\//", line)
    opening = OPENING.match(line)
    if opening is None:
        return Markdown(line)
    at = opening.end() if opening[0][-1].isdigit() else 0
    return Markdown(f"{line[:at]}\\{line[at:]}")


def code(text: str) -> Markdown:
    """Somebody else's text as code, in which Markdown reads no marks."""
    line = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if len(fence) > 1 or line != line.strip() else ""
    return Markdown(f"{fence}{room}{line}{room}{fence}") if line else Markdown("")


def link(label: str, target: str) -> Markdown:
    """A link to a file beside the page; the target never has a scheme or a host, whatever the name of the file is."""
    return Markdown(f"[{escaped(label)}]({_file(target)})")


def image(description: str, target: str) -> Markdown:
    """A picture whose file lies beside the page."""
    return Markdown(f"![{escaped(description)}]({_file(target)})")


def _file(target: str) -> str:
    return quote(target.encode("utf-8", "surrogatepass"), safe="/._-~,=+@").replace("//", "/")


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; a cell is escaped unless it is :class:`Markdown`."""
    lines = [[_cell(name) for name in header], ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(text: str) -> str:
    """Escape a cell, and its pipes: a pipe ends a cell even inside code."""
    return re.sub(r"(?<!\\)\|", r"\\|", escaped(text))


def mean_text(mean: float, best: bool) -> Markdown:
    """A mean as text, bold if it is the best."""
    return Markdown(f"**{number(mean)}**" if best else number(mean))


def published_table(table: PaperTable) -> list[str]:
    """The lines of a published table with the values as printed; ``[n]`` refers to the n-th line of :func:`errata`."""
    rows = [
        [method, *(Markdown(value if mark is None else f"{value} [{mark}]") for value, mark in values)]
        for method, values in table.marked_rows
    ]
    named = [(f"{metric.label} {ARROWS[metric.direction]}", mark) for metric, mark in table.marked_columns]
    heads = [text if mark is None else Markdown(f"{escaped(text)} [{mark}]") for text, mark in named]
    return pipe_table(["method", *heads], rows)


def errata(table: PaperTable) -> list[Markdown]:
    """The errata of a published table, numbered."""
    return [Markdown(f"[{n}] {text}") for n, text in enumerate(table.errata.values(), start=1)]
