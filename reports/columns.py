"""Tables on a terminal: the columns that fit its width, with whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

# A longer word of a foldable column is broken on a narrow terminal.
LONGEST_WORD = 20


@dataclass(frozen=True)
class Column:
    """A column of a table, with cells in rich's markup.

    Attributes:
        heading: its heading, in rich's markup; it may be broken between words.
        cells: one cell for each row.
        right: whether the cells are set to the right.
        foldable: whether a cell may be broken into lines, as a name may and a number may not.
        spare: place in the order in which columns are left out of a narrow table, from 1; 0 is never left out.
    """

    heading: str
    cells: Sequence[str]
    right: bool = False
    foldable: bool = False
    spare: int = 0


@dataclass(frozen=True)
class Layout:
    """The columns of a table that fit, and how wide each is.

    Attributes:
        columns: the columns that are shown.
        widths: the width of each, in characters, without the gap.
        left_out: the headings of the columns that did not fit.
        width: the width of the whole table; greater than asked for if even the last columns do not fit.
    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...]
    width: int

    def fill(self, table: Table) -> None:
        """Add the columns and their cells to an empty table."""
        for column, width in zip(self.columns, self.widths, strict=True):
            table.add_column(column.heading, width=width, justify="right" if column.right else "left", overflow="fold")
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            table.add_row(*cells)

    def note(self) -> str:
        """Say which columns were left out; empty if none was."""
        return f"this terminal is too narrow for: {', '.join(self.left_out)}" if self.left_out else ""


def lay_out(columns: Sequence[Column], width: int, gap: int) -> Layout:
    """Choose the columns that fit.

    Args:
        columns: all columns of a table.
        width: the greatest width of the table, in characters.
        gap: what each column takes besides its cells, in characters.
    """
    kept, left_out = list(columns), []
    while True:
        least = [_least(column) for column in kept]
        spare = width - sum(least) - gap * len(kept)
        optional = min((column for column in kept if column.spare), key=lambda column: column.spare, default=None)
        if spare >= 0 or optional is None:
            break
        kept.remove(optional)
        left_out.append(optional.heading)
    widths = []
    for column, narrow in zip(kept, least, strict=True):
        more = min(max(spare, 0), _full(column) - narrow)
        widths.append(narrow + more)
        spare -= more
    return Layout(tuple(kept), tuple(widths), tuple(left_out), sum(widths) + gap * len(kept))


def print_whole(shown: RenderableType, width: int, console: Console) -> None:
    """Print a table, or a panel that holds one, at least ``width`` characters wide.

    If the terminal is narrower, it breaks the lines itself, so that no number is lost.
    """
    own_width = console.width
    console.width = max(own_width, width)
    try:
        console.print(shown)
    finally:
        console.width = own_width


def _full(column: Column) -> int:
    return max(map(_length, (column.heading, *column.cells)))


def _least(column: Column) -> int:
    heading = max(map(len, _plain(column.heading).split()), default=0)
    if not column.foldable:
        return max(heading, *map(_length, column.cells), 0)
    words = [word for cell in column.cells for word in _plain(cell).split()]
    return max(heading, min(LONGEST_WORD, max(map(len, words), default=0)))


def _length(markup: str) -> int:
    from rich.cells import cell_len

    return cell_len(_plain(markup))


def _plain(markup: str) -> str:
    from rich.text import Text

    return Text.from_markup(markup).plain
