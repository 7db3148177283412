"""What ``emo-bench sweep`` prints: the plan, and at the end what became of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from emo_bench.cli.output import print_columns, say
from emo_bench.progress import format_duration
from emo_bench.sweeps.estimates import MIB, Cost, Estimates, together_seconds
from emo_bench.sweeps.failures import Failures
from emo_bench.sweeps.jobs import Jobs
from emo_bench.sweeps.planning import SweepPlan
from emo_bench.sweeps.sweep import Divided, Outcome
from emo_bench.sweeps.task import Task


def print_plan(
    name: str, runs: Path, plan: SweepPlan, divided: Divided, estimates: Estimates, failures: Failures, jobs: Jobs
) -> None:
    """Print one line per task, what cannot run and why, and the time and the disk that the rest needs."""
    costs = {task.name: estimates.of(task) for task in divided.tasks}
    rows: list[tuple[str, str, str, str]] = [("done", task.title, "", "") for task in plan.done]
    for task in divided.failed_before:
        failure = failures.kept.get(task.name)
        why = "it needs a run that failed before" if failure is None else f"{failure.reason} (log: {failure.log})"
        rows.append(("failed before", task.title, "", why))
    rows += [("cannot run", one.title, "", one.reason) for one in plan.refused]
    rows += [("to do", task.title, format_duration(costs[task.name].seconds), "") for task in divided.tasks]
    print_columns(("state", "what", "time", "why"), rows)
    print()
    for note in plan.notes:
        say(f"note: {note}")
    counted = [(len(plan.done), "done"), (len(divided.tasks), "to do"), (len(divided.failed_before), "failed before")]
    counted.append((len(plan.refused), "cannot run here"))
    say(f"sweep {name} in {runs}: {', '.join(f'{count} {what}' for count, what in counted if count) or 'nothing'}")
    if divided.failed_before:
        say("what failed before is left out: --retry-failed does it again")
    if divided.tasks:
        _print_needs(runs, divided.tasks, costs, jobs)


def _print_needs(runs: Path, tasks: Sequence[Task], costs: dict[str, Cost], jobs: Jobs) -> None:
    seconds = {name: cost.seconds for name, cost in costs.items()}
    needed = sum(cost.disk_bytes for cost in costs.values())
    place = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    say(f"time: {_time(tasks, seconds, jobs)}")
    say(f"disk: about {_size(needed)}, {_size(free)} are free{': TOO LITTLE' if needed > free else ''}")
    measured = sum(cost.measured for cost in costs.values())
    say(f"estimated by earlier runs: {measured} of {len(tasks)}{_defaults(tasks, costs)}")


def _time(tasks: Sequence[Task], seconds: dict[str, float], jobs: Jobs) -> str:
    together = format_duration(together_seconds(tasks, seconds, jobs.count))
    if jobs.is_limit:
        alone = format_duration(together_seconds(tasks, seconds, 1))
        return f"from {together}, if all run at once that can, to {alone}, one after the other ({jobs.why})"
    word = "process" if jobs.count == 1 else "processes"
    return f"about {together}, {jobs.count} {word} ({jobs.why})"


def _defaults(tasks: Iterable[Task], costs: dict[str, Cost]) -> str:
    """Return the defaults that stand for what no earlier run says, e.g. ``; by default: 15 min a run (cpu)``."""
    said: dict[str, None] = {}
    for task in tasks:
        cost = costs[task.name]
        if not cost.measured:
            which = f" ({task.profile})" if task.profile else ""
            what = f"an edit of {task.method}" if task.kind == "edit" else task.method or task.kind
            said[f"{format_duration(cost.seconds)} for {what}{which}"] = None
    return f"; the others by default: {', '.join(said)}" if said else ""


def print_outcome(outcome: Outcome, folder: Path, failures: Failures, files: Sequence[Path]) -> None:
    """Print what is not done and why, and where the report is."""
    rows = [("cannot run", one.title, one.reason, "") for one in outcome.refused]
    for result in outcome.failed:
        rows.append(("failed", result.task.title, result.reason, failures.kept[result.task.name].log))
    rows += [("not run", result.task.title, result.reason, "") for result in outcome.not_run]
    for task in outcome.failed_before:
        failure = failures.kept.get(task.name)
        told = ("it needs a run that failed before", "") if failure is None else (failure.reason, failure.log)
        rows.append(("failed before", task.title, *told))
    if rows:
        print_columns(("state", "what", "why", "log"), rows)
    say(f"{len(outcome.folders)} runs and edits are done, {len(rows)} things are not")
    for path in files:
        say(f"report   {path}")
    say(f"sweep    {folder}")


def _size(count: float) -> str:
    return f"{count / MIB / 1024:.1f} GiB" if count >= 1024 * MIB else f"{count / MIB:.0f} MiB"
