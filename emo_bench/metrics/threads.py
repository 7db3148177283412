"""Score a batch with several metrics in parallel: most metrics use one core, a few use all cores."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from emo_bench.metrics.metric import Scores


@dataclass(frozen=True)
class Task:
    """A part of a batch's work. `alone`: the task limits torch to one thread, because similar tasks run in parallel."""

    compute: Callable[[], Scores]
    alone: bool = False


class Threads:
    """Runs tasks on as many threads as torch would use; with one thread or one task, in the caller's thread."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or cpu_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._local = threading.local()

    def run(self, tasks: Sequence[Task]) -> list[Scores]:
        """Start the tasks in order and return their results in order. The first error is raised when all have ended."""
        if self.count == 1 or len(tasks) < 2:
            return [task.compute() for task in tasks]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, "metrics")
        futures = [self._pool.submit(self._do, task) for task in tasks]
        errors = [future.exception() for future in futures]
        if torch := _torch():
            # A new thread takes the number of torch threads that any thread set last.
            torch.set_num_threads(torch.get_num_threads())
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in futures]

    def _do(self, task: Task) -> Scores:
        wanted = 1 if task.alone else self.count
        torch = _torch()
        if torch and getattr(self._local, "torch_threads", None) != wanted:
            torch.set_num_threads(wanted)
            self._local.torch_threads = wanted
        return task.compute()


def cpu_threads() -> int:
    """Return torch's number of threads if torch is loaded; otherwise the number of processors."""
    torch = _torch()
    return int(torch.get_num_threads()) if torch else os.cpu_count() or 1


def _torch() -> Any:
    return sys.modules.get("torch")
