"""The progress of a sweep: what it says about the time that is left."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from emo_bench.sweeps.display import Progress
from emo_bench.sweeps.engine import Result
from emo_bench.sweeps.task import Task, Tracking


class Shown:
    """Two tasks of ten estimated seconds, one after the other, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now, self.stream = 0.0, io.StringIO()
        self.tasks = [Task(name, name, "track", Tracking(name, Path(f"{name}.mp4"), 25)) for name in ("anna", "ben")]
        seconds = {"anna": 10.0, "ben": 10.0}
        self.progress = Progress(self.tasks, seconds, 1, stream=self.stream, clock=lambda: self.now)

    @property
    def last(self) -> str:
        return self.stream.getvalue().splitlines()[-1]


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_the_time_left_follows_the_tasks_that_are_done(shown: Shown) -> None:
    shown.progress.started(shown.tasks[0])
    shown.now = 20.0
    shown.progress.ended(Result(shown.tasks[0], "done", seconds=20.0))
    assert shown.last == "sweep: 1 of 2 done, about 20 s left", "the first took twice its estimate"


def test_a_task_that_takes_longer_than_estimated_does_not_leave_no_time(shown: Shown) -> None:
    shown.progress.started(shown.tasks[0])
    shown.now = 10.0
    shown.progress.ended(Result(shown.tasks[0], "done", seconds=10.0))
    shown.progress.started(shown.tasks[1])
    shown.now = 80.0
    shown.progress.waiting([shown.tasks[1]])
    assert shown.last == "sweep: ben for 1 min 10 s; 1 of 2 done, longer than estimated"
