"""Keep the root logger as it is while a package is imported or used."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Remove the handlers that a package adds to the root logger; they would print our own messages a second time.

    A call such as ``logging.debug(...)`` adds one if there is none.
    """
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        yield
    finally:
        for handler in [handler for handler in root.handlers if handler not in before]:
            root.removeHandler(handler)
