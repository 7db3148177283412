"""The log of a run on stderr, between the progress bars."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Show the ``emo_bench`` log while the block runs."""
    log = logging.getLogger("emo_bench")
    handler = logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
