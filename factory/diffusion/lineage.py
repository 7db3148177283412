"""The trainings behind a pipeline's folder: a file in it lists them, the first one first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.untrusted.plain_json import read_json

FILE = "trainings.json"
MOST_BYTES = 1 << 20


def read_trainings(folder: Path) -> list[dict[str, Any]]:
    """Return the trainings behind the weights in a folder; none if the folder does not tell.

    Raises:
        UserError: the file is no list of trainings.
    """
    if not (folder / FILE).is_file():
        return []
    found = read_json(folder / FILE, MOST_BYTES)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(f"{folder / FILE} is not a list of trainings")
    return found


def write_trainings(folder: Path, start: Path | None, training: dict[str, Any]) -> None:
    """Add a training to those of the folder that it started from, if any, and write them."""
    write_json(folder / FILE, [*(read_trainings(start) if start else []), training])
