"""Output of commands: aligned columns for people, JSON for programs."""

import dataclasses
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from emo_bench.text.plain_text import json_text, printable


def group(help_text: str) -> typer.Typer:
    """Make a group of commands with the same settings as the whole app."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=help_text)


def say(line: str) -> None:
    """Print a line. Control characters in it are escaped."""
    print(printable(line))


def as_given(path: Path, folder: Path) -> Path:
    """Return an absolute path at or below ``folder`` as the user named the folder: relative, or absolute."""
    return path if folder.is_absolute() else path.relative_to(Path.cwd())


def print_json(value: Any) -> None:
    """Print dataclasses, paths, sets and plain values as JSON."""
    print(json_text(value, default=_plain, allow_nan=True))


def print_columns(headers: Sequence[str], rows: Iterable[Sequence[object]], spare: Sequence[str] = ()) -> None:
    """Print rows in columns. Each column is as wide as its widest cell.

    On a terminal that is too narrow for this, words of a cell go to the next line, and the columns with the headings
    ``spare`` are left out, in this order, as far as needed; a last line names them. A file or a pipe gets whole lines.
    """
    table = [list(headers), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(headers))]
    screen = shutil.get_terminal_size().columns
    if sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > screen:
        _print_narrow(table, screen, spare)
        return
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print one name and its value per line. Empty values are left out."""
    shown = [(name, printable(str(value))) for name, value in fields if value not in ("", None)]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def _print_narrow(table: Sequence[Sequence[str]], screen: int, spare: Sequence[str]) -> None:
    """Print a table whose first row has the headings on a terminal that is ``screen`` characters wide."""
    from rich.console import Console
    from rich.table import Table

    from emo_bench.text.plain_text import unmarked
    from reports.columns import Column, lay_out, print_whole

    columns = []
    for heading, *cells in zip(*table, strict=True):
        place = spare.index(heading) + 1 if heading in spare else 0
        foldable = any(" " in cell for cell in cells)
        columns.append(Column(unmarked(heading), [unmarked(cell) for cell in cells], foldable=foldable, spare=place))
    layout = lay_out(columns, screen, gap=2)
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    layout.fill(shown)
    print_whole(shown, layout.width, Console(highlight=False, width=screen))
    if layout.left_out:
        print(f"{layout.note()}; a pipe gets them: emo-bench ... | less -S")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")
