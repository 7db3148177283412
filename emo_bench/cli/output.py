"""What commands print: aligned columns for people, JSON for programs."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from emo_bench.methods.seeds import GREATEST
from emo_bench.text.plain_text import json_text, printable

Seed = Annotated[int, typer.Option(min=0, max=GREATEST, help="Seed of every random number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def finite(value: float | None) -> float | None:
    """For a number's option: NaN is neither below nor above its bounds, and is refused here."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number")
    return value


def group(help_text: str) -> typer.Typer:
    """A group of commands, set up like the whole."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=help_text)


def say(line: str) -> None:
    """Print a line, whatever words of others it quotes."""
    print(printable(line))


def print_json(value: Any) -> None:
    """Print dataclasses, paths, sets and plain values as JSON."""
    print(json_text(value, default=_plain, allow_nan=True))


def print_columns(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns, each as wide as its widest cell, the last one free."""
    table = [list(headers), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(headers))]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; empty values are left out."""
    shown = [(name, printable(str(value))) for name, value in fields if value not in ("", None)]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")
