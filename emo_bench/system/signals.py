"""Termination by a signal: our process removes unfinished files before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from emo_bench.errors import Terminated


@contextmanager
def leaving_in_order() -> Iterator[None]:
    """Raise :class:`Terminated` inside the block on SIGTERM and SIGHUP, which would otherwise end the process."""

    def leave(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the clean-up.
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGHUP) if in_main else ()
    taken = [number for number in wanted if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
