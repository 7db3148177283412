"""CSV that a spreadsheet opens without running anything in it: text that would be a formula begins with an
apostrophe.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

# Where a spreadsheet sees a formula, or skips white space to look for one; the apostrophe itself, so that it comes off
# again.
FORMULA = (
    "=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}", "'",
)  # fmt: skip
MARK = "'"


def csv_text(table: pandas.DataFrame, *, index: bool = False) -> str:
    """A table as CSV; numbers stay numbers, and :func:`read_csv` gives the text back as it was.

    Args:
        table: its text may be anybody's.
        index: whether its row labels come first.
    """
    shown = table.rename(columns=_marked).map(_marked)
    if index:
        shown = shown.rename(index=_marked).rename_axis(index=_marked(table.index.name))
    text = str(shown.to_csv(index=index))
    if "\r" in text:
        # A carriage return is quoted only where it ends lines.
        text = str(shown.to_csv(index=index, quoting=csv.QUOTE_NONNUMERIC))
    # Lone surrogates cannot be written in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


def read_csv(path: Path) -> pandas.DataFrame:
    """A table of :func:`csv_text` without the apostrophes; columns of text that happen to be numbers are read as
    numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no CSV.
    """
    import pandas

    table = pandas.read_csv(io.BytesIO(path.read_bytes()))
    return table.rename(columns=_unmarked).map(_unmarked)


def _marked(value: Any) -> Any:
    return MARK + value if isinstance(value, str) and value.startswith(FORMULA) else value


def _unmarked(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith(MARK) else value
