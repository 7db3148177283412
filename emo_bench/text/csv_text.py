"""CSV that a spreadsheet opens without executing formulas: text that could be a formula gets an apostrophe in front."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

# A spreadsheet takes text with these first characters for a formula, or skips them as white space. The apostrophe is in
# the list so that reading can remove the added one.
FORMULA = (
    "=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}", "'",
)  # fmt: skip
MARK = "'"


def csv_text(table: pandas.DataFrame, *, index: bool = False) -> str:
    """Write a table as CSV; numbers stay numbers, and :func:`read_csv` restores the original text.

    Args:
        table: its text may come from untrusted sources.
        index: whether the row labels are the first column.
    """
    shown = table.rename(columns=_marked).apply(_marked_column)
    if index:
        shown = shown.rename(index=_marked).rename_axis(index=_marked(table.index.name))
    text = str(shown.to_csv(index=index))
    if "\r" in text:
        # By default a carriage return is quoted only if it ends lines.
        text = str(shown.to_csv(index=index, quoting=csv.QUOTE_NONNUMERIC))
    return text


def read_csv(path: Path) -> pandas.DataFrame:
    """Read a table of :func:`csv_text` without the apostrophes; a text column with only numbers is read as numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not CSV.
    """
    import pandas

    table = pandas.read_csv(io.BytesIO(path.read_bytes()))
    return table.rename(columns=_unmarked).map(_unmarked)


def _marked_column(column: pandas.Series[Any]) -> pandas.Series[Any]:
    """Mark the texts of a column; a text that a report of 10,000 runs repeats is looked at once."""
    if column.dtype.kind in "biuf":
        return column
    # Only a column of texts can say quickly which differ; another may hold lists, which cannot be compared like this.
    values = column.unique() if column.dtype == "str" else column
    texts = {value for value in values if isinstance(value, str)}
    changed = {text: marked for text in texts if (marked := _marked(text)) != text}
    if not changed:
        return column
    return column.map(lambda value: changed.get(value, value) if isinstance(value, str) else value)


def _marked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # Lone surrogates can be stored neither in UTF-8 nor in a text column of pandas.
    text = value.encode("utf-8", "backslashreplace").decode()
    return MARK + text if text.startswith(FORMULA) else text


def _unmarked(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith(MARK) else value
