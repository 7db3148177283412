"""Do the tasks of a sweep in the order that they allow; a failure stops only the tasks that wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emo_bench.sweeps.executor import Ended, Executor
from emo_bench.sweeps.task import Task

POLL_S = 1.0


@dataclass(frozen=True)
class Result:
    """What became of a task.

    Attributes:
        task: the task.
        state: ``not run`` if a task that it waits for has failed.
        reason: why it is not done, in one line.
        error: the exception, if it failed in this process.
        seconds: its time on the clock.
    """

    task: Task
    state: Literal["done", "failed", "not run"]
    reason: str = ""
    error: Exception | None = None
    seconds: float = 0.0


class Watch:
    """What a caller may do while tasks run; the methods here do nothing."""

    def started(self, task: Task) -> None:
        """Note that a task begins."""

    def waiting(self, running: Sequence[Task]) -> None:
        """Note that these tasks are running; called about once a second, if the executor does not block."""

    def more(self, result: Result) -> Sequence[Task]:
        """Return tasks that could not be planned before this result."""
        return ()


def run_tasks(
    tasks: Sequence[Task], executor: Executor, *, logs: Path | None = None, watch: Watch | None = None
) -> Iterator[Result]:
    """Do tasks and yield the result of each when it is there. The caller may stop at any time.

    A task begins when those in its ``after`` are done; tasks that are ready begin in the order of ``tasks``.

    Args:
        tasks: the tasks; those in ``after`` are among them.
        executor: where the tasks are done. It is closed at the end.
        logs: folder of the logs, ``<name>.log``; None keeps none.
        watch: is told what happens.

    Raises:
        ValueError: two tasks have one name, or a task waits for one that is not there or for itself.
    """
    run = _Running(executor, logs, watch or Watch())
    run.add(tasks)
    try:
        while run.waiting or run.begun:
            yield from run.step()
    finally:
        executor.close()


def log_of(logs: Path, task: Task) -> Path:
    """Return the file of a task's log."""
    return logs / f"{task.name}.log"


class _Running:
    """The tasks that wait, those that run, and how the others ended."""

    def __init__(self, executor: Executor, logs: Path | None, watch: Watch) -> None:
        self._executor, self._logs, self._watch = executor, logs, watch
        self.waiting: dict[str, Task] = {}
        self.begun: dict[str, tuple[Task, float]] = {}
        self._over: dict[str, Result] = {}

    def add(self, tasks: Sequence[Task]) -> None:
        """Add tasks; ValueError if they do not fit together."""
        for task in tasks:
            if task.name in self.waiting or task.name in self.begun or task.name in self._over:
                raise ValueError(f"two tasks have the name {task.name}")
            self.waiting[task.name] = task
        for task in tasks:
            unknown = [name for name in task.after if not self._knows(name)]
            if unknown:
                raise ValueError(f"{task.name} waits for {unknown[0]}, which is not there")

    def step(self) -> Iterator[Result]:
        """Begin what is ready, wait a moment, and yield what ended."""
        yield from self._give_up()
        self._begin()
        if not self.begun:
            if self.waiting:
                raise ValueError(f"tasks wait for each other: {', '.join(self.waiting)}")
            return
        ended = self._executor.ended(POLL_S)
        if not ended:
            self._watch.waiting([task for task, _ in self.begun.values()])
        for one in ended:
            result = self._end(one)
            self.add(self._watch.more(result))
            yield result

    def _knows(self, name: str) -> bool:
        return name in self.waiting or name in self.begun or name in self._over

    def _begin(self) -> None:
        for task in list(self.waiting.values()):
            if len(self.begun) >= self._executor.capacity:
                return
            if all(name in self._over for name in task.after):
                del self.waiting[task.name]
                self.begun[task.name] = (task, time.monotonic())
                self._watch.started(task)
                self._executor.submit(task, self._log(task))

    def _log(self, task: Task) -> Path | None:
        if self._logs is None:
            return None
        path = log_of(self._logs, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _end(self, ended: Ended) -> Result:
        task, began = self.begun.pop(ended.name)
        seconds = time.monotonic() - began
        state: Literal["done", "failed"] = "done" if ended.reason is None else "failed"
        result = Result(task, state, ended.reason or "", ended.error, seconds)
        self._over[task.name] = result
        return result

    def _give_up(self) -> Iterator[Result]:
        """Yield the tasks that wait for one that is not done, and those that wait for these."""
        while True:
            hopeless = [(task, self._obstacle(task)) for task in self.waiting.values() if self._obstacle(task)]
            if not hopeless:
                return
            for task, obstacle in hopeless:
                del self.waiting[task.name]
                self._over[task.name] = result = Result(task, "not run", obstacle)
                yield result

    def _obstacle(self, task: Task) -> str:
        """Say why a task can never begin; empty if it can."""
        for name in task.after:
            before = self._over.get(name)
            if before is not None and before.state == "failed":
                return f"it needs {before.task.title}, which failed: {before.reason}"
            if before is not None and before.state == "not run":
                return before.reason
        return ""
