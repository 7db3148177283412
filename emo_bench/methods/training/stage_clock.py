"""The seconds of each stage of a fit, over all attempts, in ``stage_seconds.json`` beside the states."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from emo_bench.errors import UserError, one_line
from emo_bench.files import write_json
from emo_bench.untrusted.regular_file import read_regular

FILE = "stage_seconds.json"
LIMIT_BYTES = 2**20

log = logging.getLogger("emo_bench")


def read_seconds(folder: Path) -> dict[str, float]:
    """Read the seconds by stage that the clock of this folder last wrote; empty if there are none or they are damaged.

    Damage is logged.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        return {str(name): float(value) for name, value in json.loads(read_regular(path, LIMIT_BYTES)).items()}
    except (ValueError, TypeError, AttributeError, UserError) as error:
        log.warning("%s is damaged (%s): the count of seconds starts again", path, one_line(str(error))[:200])
        return {}


def write_seconds(folder: Path, seconds: dict[str, float]) -> None:
    """Write seconds by stage, whole or not at all."""
    write_json(folder / FILE, {name: round(value, 3) for name, value in seconds.items()})


class StageClock:
    """A clock that counts the seconds of the running stage.

    The time after the last :meth:`save` of an attempt is lost together with its work. An interrupted fit therefore
    counts no work twice.

    Args:
        folder: the folder of the file with the seconds.
        resumed: start from the seconds in that file.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        self._folder = folder
        self._seconds = read_seconds(folder) if resumed else {}
        self._stage: str | None = None
        self._since = 0.0

    def switch(self, stage: str) -> None:
        """Count the time from now on for this stage."""
        self._count()
        self._stage = stage

    def save(self) -> None:
        """Save the seconds that were counted so far."""
        self._count()
        write_seconds(self._folder, self._seconds)

    def _count(self) -> None:
        now = time.monotonic()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now
