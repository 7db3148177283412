"""A second Python process that calls functions for this one and sends back what they return.

It is started anew and not forked, because a fork of a process with threads may hang. It does not import the main
program again, so a script that calls emo_bench needs no guard. It is a help only: whoever uses it does the work itself
if the process fails, so errors come from this process.
"""

from __future__ import annotations

import errno
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

STDOUT, STDERR = 1, 2
# A folder on sys.path may have another package "reports": the first process does not import that one either.
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from emo_bench.plug_ins.own_packages import claim
claim()
from emo_bench.system.second_process import serve
serve({line})
"""


class NoAnswer(Exception):
    """The second process has died, or the function raised an exception: call the function in this process."""


class SecondProcess:
    """A process that calls one function after the other; close it, or use :func:`second_process`.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        self._line, theirs = Pipe()
        with theirs:
            # Python's import skips entries that are no text, such as a Path, and their repr is no program.
            path = [entry for entry in sys.path if isinstance(entry, str)]
            words = [sys.executable, "-P", "-c", _PROGRAM.format(path=path, line=theirs.fileno())]
            try:
                if theirs.fileno() <= STDERR:
                    raise OSError(errno.EBADF, "a standard stream is closed, and the line has its number")
                # Its own session, so that Ctrl-C reaches only this process, which then closes it.
                self._process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
                )
            except BaseException:
                self._line.close()
                raise

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let it call a function of a module, after the answer to the question before has been taken.

        Raises:
            NoAnswer: it has died.
        """
        try:
            self._line.send_bytes(pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            raise NoAnswer from error

    def is_ready(self) -> bool:
        """Whether :meth:`answer` would not wait."""
        return self._line.poll()

    def answer(self) -> bytes:
        """Wait for the function, and return its pickled value.

        Raises:
            NoAnswer: the function raised an exception, or the process has died.
        """
        try:
            found = self._line.recv_bytes()
        except (EOFError, OSError) as error:
            raise NoAnswer from error
        if not found:
            raise NoAnswer
        return found

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def second_process(worth: bool) -> Iterator[SecondProcess | None]:
    """Start a second process if it is ``worth`` it, and end it with the block.

    None if it is not, on one core, and on Windows, where a child gets no file descriptors.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    helper = None
    if worth and cores > 1 and sys.executable and os.name == "posix":
        try:
            helper = SecondProcess()
        except OSError:
            # No memory or no process number is left: one process does it.
            helper = None
    try:
        yield helper
    finally:
        if helper is not None:
            helper.close()


def serve(descriptor: int) -> None:
    """Answer the questions of the process that started this one, until it closes the line or ends."""
    # Lists of many values are received and sent, and are no garbage.
    gc.disable()
    # What a library prints belongs to no file that the first process writes.
    os.dup2(STDERR, STDOUT)
    with Connection(descriptor) as line, suppress(EOFError, OSError, MemoryError):
        while True:
            line.send_bytes(_called(line.recv_bytes()))


def _called(question: bytes) -> bytes:
    """Call a function, and return its pickled value; nothing if it raised an exception."""
    try:
        function, arguments = pickle.loads(question)
        return pickle.dumps(function(*arguments), pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - the first process calls the function again and meets the same exception
        return b""
