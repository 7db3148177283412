"""The log file in a run's folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emo_bench.files import open_in_place

log = logging.getLogger("emo_bench")


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append the ``emo_bench`` log to a file while the block runs; then its level and handlers are as before."""
    handler = logging.StreamHandler(open_in_place(path, "a"))
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
        handler.stream.close()
