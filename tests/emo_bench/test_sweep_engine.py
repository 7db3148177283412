"""The engine of sweeps: what runs, what waits, and what a failure stops."""

from __future__ import annotations

import random
from pathlib import Path

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.runs.plan import EditRequest, RunRequest
from emo_bench.runs.styles import named_style
from emo_bench.sweeps.engine import Result, Watch, run_tasks
from emo_bench.sweeps.executor import Ended, Executor
from emo_bench.sweeps.task import FaceFinding, Making, Task, Tracking, task_from_json, task_to_json


def task(name: str, *after: str) -> Task:
    return Task(name, f"the {name}", "tracking", Tracking(name, Path("video.mp4"), 100), after=after)


class Dice(Executor):
    """Ends submitted tasks in any order; those in `broken` fail. Keeps what ran together with what was done before."""

    def __init__(self, capacity: int, broken: set[str], seed: int) -> None:
        self.capacity, self._broken, self._random = capacity, broken, random.Random(seed)
        self.running: list[Task] = []
        self.done: list[str] = []
        self.most = 0
        self.closed = 0

    def submit(self, task: Task, log: Path | None) -> None:
        assert set(task.after) <= set(self.done), "all that it waits for is done"
        self.running.append(task)
        self.most = max(self.most, len(self.running))

    def ended(self, timeout_s: float) -> list[Ended]:
        chosen = self._random.sample(self.running, self._random.randint(0, len(self.running)))
        self.running = [task for task in self.running if task not in chosen]
        self.done += [task.name for task in chosen if task.name not in self._broken]
        return [Ended(task.name, "it broke" if task.name in self._broken else None) for task in chosen]

    def close(self) -> None:
        self.closed += 1


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Task], set[str]]:
    count = draw(st.integers(1, 12))
    tasks = []
    for number in range(count):
        before = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        tasks.append(task(str(number), *(str(other) for other in sorted(before))))
    broken = draw(st.sets(st.sampled_from([one.name for one in tasks])))
    return draw(st.permutations(tasks)), broken


@given(graphs(), st.integers(1, 4), st.integers(0, 1000))
def test_a_failure_stops_only_what_waits_for_it(graph: tuple[list[Task], set[str]], capacity: int, seed: int) -> None:
    tasks, broken = graph
    executor = Dice(capacity, broken, seed)
    results = list(run_tasks(tasks, executor))
    ancestors = networkx.DiGraph([(before, one.name) for one in tasks for before in one.after])
    ancestors.add_nodes_from(one.name for one in tasks)
    assert sorted(result.task.name for result in results) == sorted(one.name for one in tasks), "each exactly once"
    for result in results:
        name = result.task.name
        hopeless = bool(networkx.ancestors(ancestors, name) & broken)
        expected = "not run" if hopeless else "failed" if name in broken else "done"
        assert result.state == expected
        assert (result.reason == "") == (expected == "done")
    assert executor.most <= capacity
    assert executor.closed == 1


def test_tasks_begin_in_their_order_and_a_reason_names_the_cause() -> None:
    tasks = [task("fit"), task("edit", "fit"), task("edit of edit", "edit"), task("other")]
    seen: list[str] = []

    class Seen(Watch):
        def started(self, task: Task) -> None:
            seen.append(task.name)

    results = {r.task.name: r for r in run_tasks(tasks, Dice(1, {"fit"}, 0), watch=Seen())}
    assert seen == ["fit", "other"]
    assert results["edit of edit"].reason == results["edit"].reason == "it needs the fit, which failed: it broke"


def test_tasks_may_be_added_while_others_run() -> None:
    class Later(Watch):
        def more(self, result: Result) -> list[Task]:
            return [task("run", "track")] if result.task.name == "track" else []

    results = list(run_tasks([task("track")], Dice(2, set(), 0), watch=Later()))
    assert [(r.task.name, r.state) for r in results] == [("track", "done"), ("run", "done")]


def test_who_stops_early_closes_the_executor() -> None:
    executor = Dice(1, set(), 0)
    results = run_tasks([task("a"), task("b")], executor)
    assert next(results).task.name == "a"
    results.close()
    assert executor.closed == 1 and executor.done == ["a"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task("a"), task("a")], "two tasks have the name a"),
        ([task("a", "b")], "a waits for b, which is not there"),
        ([task("a", "b"), task("b", "a")], "wait for each other"),
    ],
)
def test_tasks_that_do_not_fit_together_are_refused(tasks: list[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(run_tasks(tasks, Dice(1, set(), 0)))


def test_a_task_survives_the_way_to_another_process() -> None:
    edit = EditRequest(named_style("bronze-statue"), {"steps": "3"}, options=("--style",))
    request = RunRequest("emo-avatar", "1", None, "tail-500", "cpu", 7, {"a": "1"}, Path("r"), None, Path("c"))
    for work in (
        Tracking("anna", Path("anna.mp4"), 4800),
        FaceFinding("1", "editing", "tail-75", 128, "cpu"),
        Making(request),
        Making(RunRequest("ip2p", "1", edits=(edit,))),
    ):
        one = Task("x/y", "ä title", "edit", work, "emo-avatar", "cpu", Path("r/x"), ("z",))
        assert task_from_json(task_to_json(one)) == one
