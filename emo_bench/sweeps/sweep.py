"""Carry out a planned sweep: do its tasks, keep failures with their logs, and remember what became of each run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.sweeps.display import Progress
from emo_bench.sweeps.engine import Result, Watch, log_of, run_tasks
from emo_bench.sweeps.estimates import Estimates
from emo_bench.sweeps.executor import Executor
from emo_bench.sweeps.failures import Failures
from emo_bench.sweeps.planning import Refused, SweepPlan, SweepPlanner
from emo_bench.sweeps.task import Task, Tracking

# Folder of the sweeps below the folder of runs, and the files and folders of one sweep.
SWEEPS, LOGS, CACHE, RECORD = "sweeps", "logs", "cache", "sweep.json"
# Least time between two writings of the record.
RECORD_S = 5.0


@dataclass(frozen=True)
class Divided:
    """The tasks of a plan: those to do now, and those that failed before with those that wait for them."""

    tasks: tuple[Task, ...]
    failed_before: tuple[Task, ...]


@dataclass
class Outcome:
    """What became of a sweep.

    Attributes:
        done: runs and edits that are finished, in this call or before.
        failed: tasks that failed in this call.
        not_run: tasks that wait for one that failed.
        failed_before: tasks that failed in an earlier call and were not tried again, and those that wait for them.
        refused: what cannot run on this machine.
    """

    done: list[Task] = field(default_factory=list)
    failed: list[Result] = field(default_factory=list)
    not_run: list[Result] = field(default_factory=list)
    failed_before: list[Task] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything is done."""
        return not (self.failed or self.not_run or self.failed_before or self.refused)

    @property
    def folders(self) -> list[Path]:
        """The folders of the finished runs and edits."""
        return [task.folder for task in self.done if task.folder is not None]


def sweep_folder(runs_dir: Path, name: str) -> Path:
    """Return the folder of a sweep: its logs, its failures and its report."""
    return runs_dir / SWEEPS / name


def divide(plan: SweepPlan, failures: Failures, *, retry_failed: bool) -> Divided:
    """Divide the tasks of a plan into those to do and those that failed before.

    Args:
        plan: the plan.
        failures: the failures of earlier calls.
        retry_failed: do everything.
    """
    if retry_failed:
        return Divided(plan.tasks, ())
    left_out = set(failures.kept)
    failed: list[Task] = []
    # A task stands behind those that it waits for.
    for task in plan.tasks:
        if task.name in left_out or left_out.intersection(task.after):
            left_out.add(task.name)
            failed.append(task)
    return Divided(tuple(task for task in plan.tasks if task.name not in left_out), tuple(failed))


class Sweep:
    """A planned sweep that is carried out.

    Args:
        planner: plans the runs of actors that are tracked during the sweep.
        folder: the sweep's folder, which exists and is locked by the caller.
        failures: the failures of earlier calls.
        estimates: times of tasks.
        retry_failed: also do what failed before.
    """

    def __init__(
        self,
        planner: SweepPlanner,
        folder: Path,
        failures: Failures,
        estimates: Estimates,
        *,
        retry_failed: bool = False,
    ) -> None:
        self._planner, self._folder, self._failures = planner, folder, failures
        self._estimates, self._retry_failed = estimates, retry_failed
        self.outcome = Outcome()

    def carry_out(self, plan: SweepPlan, executor: Executor, *, time_is_known: bool = True) -> Outcome:
        """Do what is to do, and write ``sweep.json`` every few seconds and at the end.

        Args:
            plan: the plan.
            executor: where the tasks are done.
            time_is_known: whether the time that is left can be told.
        """
        tasks = self.take(plan)
        progress = Progress(tasks, self.seconds(tasks), executor.capacity if time_is_known else None)
        self._record()
        recorded, logs = time.monotonic(), self._folder / LOGS
        try:
            for result in run_tasks(tasks, executor, logs=logs, watch=_SweepWatch(self, self._planner, progress)):
                progress.ended(result)
                self._note(result, logs)
                # The record of ten thousand runs has some megabytes.
                if time.monotonic() - recorded > RECORD_S:
                    self._record()
                    recorded = time.monotonic()
        finally:
            self._record()
        return self.outcome

    def take(self, plan: SweepPlan) -> tuple[Task, ...]:
        """Note what a plan leaves out, and return its tasks to do."""
        divided = divide(plan, self._failures, retry_failed=self._retry_failed)
        self.outcome.done += plan.done
        self.outcome.refused += plan.refused
        self.outcome.failed_before += divided.failed_before
        for task in plan.done:
            self._failures.remove(task.name)
        return divided.tasks

    def seconds(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Return the estimated time of each task, by name."""
        return {task.name: self._estimates.of(task).seconds for task in tasks}

    def refuse(self, actor: str, error: UserError) -> None:
        """Note that the runs of an actor cannot be planned."""
        self.outcome.refused.append(Refused(f"runs on actor {actor}", str(error)))

    def _note(self, result: Result, logs: Path) -> None:
        if result.state == "done":
            self.outcome.done.append(result.task)
            self._failures.remove(result.task.name)
        elif result.state == "failed":
            self.outcome.failed.append(result)
            self._failures.add(result.task.name, result.reason, log_of(logs, result.task))
        else:
            self.outcome.not_run.append(result)

    def _record(self) -> None:
        kept, outcome = self._failures.kept, self.outcome
        entries: list[dict[str, Any]] = [_entry(task, "done") for task in outcome.done]
        for result in outcome.failed:
            entries.append(_entry(result.task, "failed", result.reason, kept[result.task.name].log))
        entries += [_entry(result.task, "not run", result.reason) for result in outcome.not_run]
        for task in outcome.failed_before:
            before = kept.get(task.name)
            reason, log = (before.reason, before.log) if before else ("it needs a run that failed before", "")
            entries.append(_entry(task, "failed before", reason, log))
        entries += [{"title": one.title, "state": "cannot run", "reason": one.reason} for one in outcome.refused]
        write_json(self._folder / RECORD, {"format": 1, "runs": entries})


class _SweepWatch(Watch):
    """Shows progress, and plans the runs of an actor when its video is tracked."""

    def __init__(self, sweep: Sweep, planner: SweepPlanner, progress: Progress) -> None:
        self._sweep, self._planner, self._progress = sweep, planner, progress

    def started(self, task: Task) -> None:
        """Show that a task begins."""
        self._progress.started(task)

    def waiting(self, running: Sequence[Task]) -> None:
        """Show what runs, now and then."""
        self._progress.waiting(running)

    def more(self, result: Result) -> Sequence[Task]:
        """Return the runs of an actor that was tracked just now."""
        work = result.task.work
        if not isinstance(work, Tracking) or result.state != "done":
            return ()
        try:
            tasks = self._sweep.take(self._planner.plan_actor(work.actor))
        except UserError as error:
            self._sweep.refuse(work.actor, error)
            return ()
        self._progress.add(tasks, self._sweep.seconds(tasks))
        return tasks


def _entry(task: Task, state: str, reason: str = "", log: str = "") -> dict[str, Any]:
    folder = None if task.folder is None else task.folder.as_posix()
    known = {"name": task.name, "title": task.title, "state": state, "folder": folder, "reason": reason, "log": log}
    return {key: value for key, value in known.items() if value}
