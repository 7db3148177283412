"""The table of a training's losses; a resumed training continues it."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

from emo_bench.errors import one_line
from emo_bench.files import open_in_place, replacing

log = logging.getLogger("emo_bench")


def cut_rows(path: Path, column: str, last: int) -> int:
    """Drop the rows of a table with ``column`` above ``last``: a killed training wrote them after its last checkpoint.

    At any moment the file is the old one or the new one. It is removed if no row is left, or if it is damaged, which is
    logged. Returns the number of rows that are left.
    """
    if not path.exists():
        return 0
    try:
        kept, names = _rows_to(path, column, last)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        log.warning("%s is damaged (%s): its rows are dropped", path, one_line(str(error))[:200])
        kept, names = [], []
    if not kept:
        path.unlink()
        return 0
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)
    return len(kept)


def _rows_to(path: Path, column: str, last: int) -> tuple[list[dict[str, str]], list[str]]:
    if not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        kept = [row for row in reader if int(row[column]) <= last]
        return kept, list(reader.fieldnames or ())


class LossLog:
    """``train.csv``: one row per step; rows after a restored step are dropped, so that no step appears twice."""

    def __init__(self, path: Path, first_step: int) -> None:
        self._path = path
        kept = cut_rows(path, "step", first_step - 1)
        self._file = open_in_place(path, "a", newline="")
        self._needs_header = not kept

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        writer = csv.DictWriter(self._file, fieldnames=["step", *values])
        if self._needs_header:
            writer.writeheader()
            self._needs_header = False
        writer.writerow({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})

    def flush(self) -> None:
        """Write buffered rows to the file."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
