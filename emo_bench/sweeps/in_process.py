"""The executor that does one task after the other in this process."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from emo_bench.runs.log import log_file
from emo_bench.sweeps.executor import Ended, Executor
from emo_bench.sweeps.task import Task
from emo_bench.sweeps.work import do_task, explained, reason_of

log = logging.getLogger("emo_bench")


class InProcess(Executor):
    """Does one task after the other.

    The log of a task has what this toolkit logs, and the traceback of a failure that no line explains.
    """

    capacity = 1
    shows_progress = True

    def __init__(self) -> None:
        self._submitted: list[tuple[Task, Path | None]] = []

    def submit(self, task: Task, log: Path | None) -> None:
        """Take a task; it is done when :meth:`ended` is called."""
        self._submitted.append((task, log))

    def ended(self, timeout_s: float) -> list[Ended]:
        """Do the submitted task to its end, however long it takes."""
        return [self._do(*self._submitted.pop(0))] if self._submitted else []

    def _do(self, task: Task, path: Path | None) -> Ended:
        kept: AbstractContextManager[None] = nullcontext() if path is None else log_file(path)
        with kept:
            try:
                do_task(task)
            except Exception as error:
                reason = reason_of(error)
                log.error("%s failed: %s", task.title, reason, exc_info=error if explained(error) is None else None)
                return Ended(task.name, reason, error)
        return Ended(task.name)
