"""The losses of a training as a table, which a resumed training goes on with."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path


class LossLog:
    """``train.csv``: one row a step; rows past a restored step are dropped, so that none appears twice."""

    def __init__(self, path: Path, first_step: int) -> None:
        kept: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) < first_step]
        self._path = path
        temporary = path.with_suffix(".csv.part")
        with temporary.open("w", newline="") as file:
            if kept:
                writer = csv.DictWriter(file, fieldnames=list(kept[0]))
                writer.writeheader()
                writer.writerows(kept)
        os.replace(temporary, path)
        self._file = path.open("a", newline="")
        self._needs_header = not kept

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        writer = csv.DictWriter(self._file, fieldnames=["step", *values])
        if self._needs_header:
            writer.writeheader()
            self._needs_header = False
        writer.writerow({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})

    def flush(self) -> None:
        """Write buffered rows through to the file."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
