"""The log file in a run's folder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from emo_bench.files import open_in_place

log = logging.getLogger("emo_bench")


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append the ``emo_bench`` log to a file while the block runs; then its level and handlers are as before.

    If the disk takes no more lines, one line on stderr says so, and the work goes on.
    """
    handler = _LogFile(open_in_place(path, "a"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    try:
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()
        # The last lines may still wait for room on the disk.
        with suppress(OSError):
            handler.stream.close()


class _LogFile(logging.StreamHandler[TextIO]):
    """logging itself would print a traceback for each line that cannot be written."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            with suppress(OSError):
                print(f"warning: {self.stream.name} cannot be written ({error.strerror})", file=sys.stderr)
