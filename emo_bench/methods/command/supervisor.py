"""The process between ours and a shell command: it ends all processes that the command started, whichever ends first.

It is a program of its own for three reasons. As a subreaper (Linux) it becomes the parent of daemons that the command
detaches. It keeps running if our process is killed. It has no threads. It imports none of our modules, so that it
starts fast.

    python -P command_supervisor.py TOKEN PARENT_PID COMMAND

``TOKEN`` is in the environment of the command as :data:`TOKEN_VARIABLE`. It identifies processes that are no longer
descendants of the supervisor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

TOKEN_VARIABLE = "EMO_BENCH_COMMAND"
POLL_S = 0.05
# Seconds between asking processes to end and killing them.
GRACE_S = 5.0
# Seconds to wait until killed processes are gone; a process that waits for a disk takes a moment.
GONE_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36


def end_all(token: str, *, below: int | None = None) -> bool:
    """Ask the processes of a command to end, then kill the remaining ones, also those that keep forking.

    Args:
        token: the command's token.
        below: also end all descendants of this process.

    Returns:
        Whether all are gone.
    """
    import psutil

    found = _processes(token, below)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    end = time.monotonic() + GRACE_S
    while _processes(token, below) and time.monotonic() < end:
        _reap()
        time.sleep(POLL_S)
    end = time.monotonic() + GONE_S
    while found := _processes(token, below):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _reap()
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S / 5)
    _reap()
    return True


def _processes(token: str, below: int | None) -> list[psutil.Process]:
    import psutil

    found: dict[int, psutil.Process] = {}
    if below is not None:
        with contextlib.suppress(psutil.Error):
            found = {process.pid: process for process in psutil.Process(below).children(recursive=True)}
    for process in psutil.process_iter():
        if process.pid in found or process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TOKEN_VARIABLE) == token:
                found[process.pid] = process
    return [process for process in found.values() if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _reap() -> None:
    """Reap adopted children that have ended."""
    if __name__ != "__main__":
        # In our own process, other code waits for its own children.
        return
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_subreaper() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the cleanup.
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _supervise(token: str, parent: int, command: str) -> int:
    """Return the command's exit code, negative if a signal killed it."""
    _become_subreaper()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    try:
        environment = {**os.environ, TOKEN_VARIABLE: token}
        shell = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, env=environment, restore_signals=True
        )
        while True:
            try:
                code = shell.wait(timeout=0.25)
                break
            except subprocess.TimeoutExpired:
                if os.getppid() != parent:
                    return 128 + signal.SIGHUP
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_all(token, below=os.getpid())
    return code


def _end_as(code: int) -> None:
    """End this process as the command ended: with its exit code, or by the signal that killed it."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _end_as(_supervise(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
