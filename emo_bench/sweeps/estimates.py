"""How long the tasks of a sweep take, and how much disk: by earlier runs, or by stated defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from emo_bench.errors import UserError
from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.methods.registry import TRIVIAL, UNEDITED, listed_kind
from emo_bench.runs.finished import EDITS
from emo_bench.runs.manifest import MANIFEST, STAGES, read_manifest
from emo_bench.sweeps.task import Kind, Task, Tracking

MIB = 2**20
# The latest so many runs of a method and a profile are read.
MOST_READ = 20
FACES_S = 20.0
# As measured in docs/tracking.md; the stored video and its track.
TRACKED_FPS, TRACKED_BYTES_PER_FRAME = 20.0, 15_000


@dataclass(frozen=True)
class Cost:
    """What a task needs.

    Attributes:
        seconds: its time on the clock.
        disk_bytes: what it leaves on disk.
        measured: whether earlier runs say so; otherwise it is a default.
        memory_mib: greatest memory of such runs; None if it is not known.
    """

    seconds: float
    disk_bytes: float
    measured: bool = False
    memory_mib: float | None = None


# Seconds and bytes of a run and of an edit, by profile. `cpu` is the mean of docs/results and `smoke` a run of
# Emo-Avatar on two cores; `gpu` and `paper` are guesses.
RUNS = {
    "smoke": Cost(60, 60 * MIB),
    "cpu": Cost(15 * 60, 150 * MIB),
    "gpu": Cost(30 * 60, 400 * MIB),
    "paper": Cost(24 * 3600, 1000 * MIB),
}
EDIT_RUNS = {
    "smoke": Cost(30, 30 * MIB),
    "cpu": Cost(90, 60 * MIB),
    "gpu": Cost(5 * 60, 150 * MIB),
    "paper": Cost(3600, 300 * MIB),
}
# Four minutes of one core's time is the slowest video editor in profile `cpu` (docs/baselines.md).
CLIP_RUNS = {
    "smoke": Cost(30, 10 * MIB),
    "cpu": Cost(5 * 60, 15 * MIB),
    "gpu": Cost(5 * 60, 60 * MIB),
    "paper": Cost(3600, 250 * MIB),
}
TRIVIAL_RUNS = {
    "smoke": Cost(10, MIB),
    "cpu": Cost(50, 15 * MIB),
    "gpu": Cost(60, 60 * MIB),
    "paper": Cost(120, 250 * MIB),
}
# A profile of a plug-in that has none of these names.
OTHER_PROFILE = "cpu"


class Estimates:
    """Costs of tasks, from the finished runs below a folder.

    Args:
        runs_dir: the folder of runs; it may not exist.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._measured: dict[tuple[str, str, Kind], Cost | None] = {}

    def of(self, task: Task) -> Cost:
        """Return the cost of a task: the median of earlier runs of its method and profile, or a default."""
        if isinstance(task.work, Tracking):
            return Cost(task.work.frames / TRACKED_FPS, task.work.frames * TRACKED_BYTES_PER_FRAME)
        if task.kind == "faces":
            return Cost(FACES_S, 0.0)
        key = (task.method, task.profile, task.kind)
        if key not in self._measured:
            self._measured[key] = _cost_of(self._earlier(*key))
        return self._measured[key] or _default(task)

    def _earlier(self, method: str, profile: str, kind: Kind) -> Iterable[tuple[Path, Mapping[str, Any]]]:
        """Yield finished runs, or edits, of a method and a profile, the latest first."""
        below = f"{EDITS}/*/{MANIFEST}" if kind == "edit" else MANIFEST
        found = [
            path for name in (method, f"{method}+*") for path in self._runs_dir.glob(f"*/*/{name}/{profile}-s*/{below}")
        ]
        latest = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
        for path in latest[:MOST_READ]:
            try:
                manifest = read_manifest(path.parent)
            except UserError:
                continue
            if all(manifest["stages"].get(stage, {}).get("finished_at") for stage in STAGES):
                yield path.parent, manifest


def chain_seconds(tasks: Sequence[Task], seconds: Mapping[str, float]) -> float:
    """Return the time of the longest chain of tasks that wait for each other.

    Args:
        tasks: the tasks; each stands behind those that it waits for.
        seconds: the time of each task, by name.
    """
    ends: dict[str, float] = {}
    for task in tasks:
        ends[task.name] = seconds[task.name] + max((ends.get(name, 0.0) for name in task.after), default=0.0)
    return max(ends.values(), default=0.0)


def together_seconds(tasks: Sequence[Task], seconds: Mapping[str, float], capacity: int) -> float:
    """Return about how long tasks take if ``capacity`` of them run at a time."""
    total = sum(seconds[task.name] for task in tasks)
    return max(total / capacity, chain_seconds(tasks, seconds))


def _cost_of(earlier: Iterable[tuple[Path, Mapping[str, Any]]]) -> Cost | None:
    seconds, sizes, memory = [], [], [0.0]
    for folder, manifest in earlier:
        stages = [manifest["stages"][stage] for stage in STAGES]
        seconds.append(sum(stage["seconds"] for stage in stages))
        sizes.append(sum(file.stat().st_size for file in folder.iterdir() if file.is_file()))
        memory += [stage.get("memory_mib") or 0.0 for stage in stages]
    if not seconds:
        return None
    return Cost(median(seconds), median(sizes), True, max(memory) or None)


def _default(task: Task) -> Cost:
    if task.method in (*TRIVIAL, UNEDITED):
        table = TRIVIAL_RUNS
    elif listed_kind(task.method) == VIDEO_EDITOR:
        table = CLIP_RUNS
    else:
        table = EDIT_RUNS if task.kind == "edit" else RUNS
    return table.get(task.profile, table[OTHER_PROFILE])
