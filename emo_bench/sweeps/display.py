"""The progress of a sweep on stderr: a line for each event, and the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from emo_bench.progress import format_duration
from emo_bench.sweeps.engine import Result
from emo_bench.sweeps.estimates import together_seconds
from emo_bench.sweeps.task import Task
from emo_bench.text.plain_text import printable

# Time between two lines about tasks that run, if nothing else happens.
QUIET_S = 60.0
# Less time than this is not told to be left while a task runs.
LEAST_S = 1.0


class Progress:
    """Counts tasks and prints lines.

    The time that is left is that of the estimates, times the ratio of real and estimated times of the tasks done so
    far.

    Args:
        tasks: what is to do.
        seconds: the estimated time of each task, by name.
        capacity: how many tasks run at a time; None if nobody knows, as on a cluster.
        stream: where the lines go; None is stderr.
        clock: the time in seconds.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        seconds: Mapping[str, float],
        capacity: int | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = {task.name: task for task in tasks}
        self._seconds = dict(seconds)
        self._capacity, self._stream, self._clock = capacity, stream, clock
        self._total, self._done, self._failed = len(tasks), 0, 0
        self._began: dict[str, float] = {}
        self._estimated_s = self._real_s = 0.0
        self._last_line = clock()

    def add(self, tasks: Sequence[Task], seconds: Mapping[str, float]) -> None:
        """Count further tasks."""
        self._left.update({task.name: task for task in tasks})
        self._seconds.update(seconds)
        self._total += len(tasks)

    def started(self, task: Task) -> None:
        """Say that a task begins."""
        self._began[task.name] = self._clock()
        self._say(f"begin: {task.title}")

    def ended(self, result: Result) -> None:
        """Say how a task ended, and how much is left."""
        task = result.task
        self._left.pop(task.name, None)
        self._began.pop(task.name, None)
        if result.state == "done":
            self._done += 1
            self._estimated_s += self._seconds[task.name]
            self._real_s += result.seconds
            how = f"done in {format_duration(result.seconds)}"
        else:
            self._failed += 1
            how = f"{'FAILED' if result.state == 'failed' else 'not run'}: {result.reason}"
        self._say(f"{task.title}: {how}")
        self._say(self._counts())

    def waiting(self, running: Sequence[Task]) -> None:
        """Say what runs, if there was no line for a while."""
        if self._clock() - self._last_line < QUIET_S or not running:
            return
        now = self._clock()
        first = running[0]
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        self._say(f"{first.title} for {format_duration(now - self._began[first.name])}{more}; {self._counts()}")

    def left_s(self) -> float:
        """Return about how many seconds are left."""
        ratio = self._real_s / self._estimated_s if self._estimated_s else 1.0
        now = self._clock()
        seconds = {
            name: max(self._seconds[name] * ratio - (now - self._began.get(name, now)), 0.0) for name in self._left
        }
        return together_seconds(list(self._left.values()), seconds, self._capacity or 1)

    def _counts(self) -> str:
        failed = f", {self._failed} failed or not run" if self._failed else ""
        left = ""
        if self._left and self._capacity is not None:
            left_s = self.left_s()
            # The estimates are used up: how much longer it takes, nobody knows.
            late = self._began and left_s < LEAST_S
            left = ", longer than estimated" if late else f", about {format_duration(left_s)} left"
        return f"{self._done} of {self._total} done{failed}{left}"

    def _say(self, line: str) -> None:
        print(f"sweep: {printable(line)}", file=self._stream or sys.stderr, flush=True)
        self._last_line = self._clock()
