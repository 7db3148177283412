"""Told to end by a signal, a process of ours leaves what it has begun in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from emo_bench.errors import Terminated


@contextmanager
def leaving_in_order() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise :class:`Terminated` in it, where they would end this process at
    once.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the cleaning up.
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
