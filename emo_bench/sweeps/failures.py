"""The failed tasks of a sweep, kept in its folder until they are done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.untrusted.plain_json import read_json

FILE = "failed.json"
LIMIT_BYTES = 64 * 2**20

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class Failure:
    """A task that failed.

    Attributes:
        reason: why, in one line.
        log: the log of the task.
        at: the time in UTC.
    """

    reason: str
    log: str
    at: str


class Failures:
    """The failed tasks by name. Each change is written at once.

    Args:
        folder: the folder of the sweep; it need not exist before the first change.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._kept = _read(self._path)

    @property
    def kept(self) -> Mapping[str, Failure]:
        """All failures by the names of the tasks."""
        return self._kept

    def add(self, name: str, reason: str, log_path: Path) -> None:
        """Keep a failure."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._kept[name] = Failure(reason, log_path.as_posix(), now)
        self._write()

    def remove(self, name: str) -> None:
        """Forget the failure of a task that is done now."""
        if self._kept.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        write_json(self._path, {name: asdict(failure) for name, failure in self._kept.items()})


def _read(path: Path) -> dict[str, Failure]:
    if not path.exists():
        return {}
    try:
        return TypeAdapter(dict[str, Failure]).validate_python(read_json(path, LIMIT_BYTES))
    except (UserError, ValidationError, OSError) as error:
        log.warning("%s is damaged and is ignored: failed runs are tried again (%s)", path, type(error).__name__)
        return {}
