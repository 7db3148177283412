"""The process that does one task of a sweep for :class:`emo_bench.sweeps.local_processes.LocalProcesses`.

It reads the task from its standard input. Its output goes to the log, and the reason of a failure to the pipe that its
standard output was.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from emo_bench.errors import UserError
from emo_bench.system.endings import ending
from emo_bench.system.signals import leaving_in_order
from emo_bench.text.console import show_any_text

PARENT_POLL_S = 1.0


def main(parent_pid: int) -> int:
    """Do the task on standard input; return the exit code of :func:`emo_bench.system.endings.ending`.

    Args:
        parent_pid: the process that waits for this one; if it dies, this process ends as by SIGTERM.
    """
    answer = _take_stdout()
    show_any_text()
    threading.Thread(target=_end_with, args=(parent_pid,), daemon=True).start()
    log = logging.getLogger("emo_bench")
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)
    try:
        from emo_bench import paths
        from emo_bench.plug_ins import own_packages

        own_packages.claim()
        paths.pin()
        from emo_bench.sweeps.task import task_from_json
        from emo_bench.sweeps.work import do_task

        with leaving_in_order():
            do_task(task_from_json(sys.stdin.buffer.read()))
    except BaseException as error:  # noqa: BLE001 - the one door of this program
        if isinstance(error, Exception):
            _tell(answer, error)
        return ending(error, "error")
    return 0


def _take_stdout() -> int:
    """Return the pipe that standard output was; from now on standard output is the log, as standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _tell(answer: int, error: Exception) -> None:
    try:
        from emo_bench.sweeps.work import reason_of

        reason = reason_of(error)
    except ImportError:
        # A package that the task needs is broken: its error is the reason.
        reason = str(UserError(f"{type(error).__name__}: {error}"))
    os.write(answer, reason.encode())


def _end_with(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(PARENT_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
