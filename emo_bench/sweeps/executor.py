"""The interface of an executor: where the tasks of a sweep are done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from emo_bench.sweeps.task import Task


@dataclass(frozen=True)
class Ended:
    """A task that an executor has ended.

    Attributes:
        name: the name of the task.
        reason: why it failed, in one line; None if it is done.
        error: the exception, if the task failed in this process.
        by_signal: the number of the signal that ended its process; 0 if none did or nobody knows.
    """

    name: str
    reason: str | None = None
    error: Exception | None = None
    by_signal: int = 0


class Executor(ABC):
    """Does tasks. :func:`emo_bench.sweeps.engine.run_tasks` decides which tasks are ready and calls these methods.

    An executor needs no knowledge of sweeps: it calls :func:`emo_bench.sweeps.work.do_task` somewhere, with the output
    in the task's log, and says how each task ended. It has no order of its own and repeats nothing.

    Attributes:
        capacity: how many submitted tasks may be unfinished at a time.
        shows_progress: whether the tasks show their own progress on this terminal.
    """

    capacity: int = 1
    shows_progress: bool = False

    @abstractmethod
    def submit(self, task: Task, log: Path | None) -> None:
        """Take a task; called only if fewer than ``capacity`` tasks are unfinished.

        Args:
            task: the task; all tasks that it waits for are done.
            log: the file to which the output of the task is appended, its folder exists; None keeps no output.
        """

    @abstractmethod
    def ended(self, timeout_s: float) -> list[Ended]:
        """Wait until a task ends, at most ``timeout_s``, and return those that ended; each is returned once."""

    def close(self) -> None:
        """End the unfinished tasks in order, so that the same command continues them; called once, at the end."""
        return
