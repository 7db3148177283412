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
    """Raise :class:`Terminated` inside the block on SIGTERM and SIGHUP, which would otherwise end the process.

    The block ends with it in every case: a library that is loaded at that moment may turn it into an error of its own,
    such as an ImportError.
    """
    got: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the clean-up.
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        got.append(number)
        raise Terminated(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGHUP) if in_main else ()
    taken = [number for number in wanted if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
        _end_if(got, None)
    except BaseException as error:
        if not isinstance(error, Terminated):
            _end_if(got, error)
        raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _end_if(got: list[int], instead_of: BaseException | None) -> None:
    """Raise :class:`Terminated` if a signal came, whatever the block ended with."""
    if got:
        raise Terminated(128 + got[0]) from instead_of
