"""How long each stage of a fit took, over all attempts: ``stage_seconds.json`` beside the states."""

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
    """Seconds by stage, as the clock of this folder last wrote them; empty where there was none or, with a line in the
    log, where they are damaged.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        return {str(name): float(value) for name, value in json.loads(read_regular(path, LIMIT_BYTES)).items()}
    except (ValueError, TypeError, AttributeError, UserError) as error:
        log.warning("%s is damaged (%s): the seconds are counted anew", path, one_line(str(error))[:200])
        return {}


def write_seconds(folder: Path, seconds: dict[str, float]) -> None:
    """Write seconds by stage, whole or not at all."""
    write_json(folder / FILE, {name: round(value, 3) for name, value in seconds.items()})


class StageClock:
    """Counts the seconds of the stage at work.

    What an attempt did after its last :meth:`save` is lost with its work, so a fit that was interrupted is not charged
    for what it does again.

    Args:
        folder: where the seconds are kept.
        resumed: go on counting from what is kept there.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        self._folder = folder
        self._seconds = read_seconds(folder) if resumed else {}
        self._stage: str | None = None
        self._since = 0.0

    def switch(self, stage: str) -> None:
        """From now on it is this stage that is at work."""
        self._count()
        self._stage = stage

    def save(self) -> None:
        """Keep what was counted so far."""
        self._count()
        write_seconds(self._folder, self._seconds)

    def _count(self) -> None:
        now = time.monotonic()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._since = now
