"""A task of a sweep: one piece of work in a process of its own, described by plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emo_bench.runs.plan import RunRequest

Kind = Literal["tracking", "faces", "run", "edit"]


@dataclass(frozen=True)
class Tracking:
    """A video is tracked and becomes an actor.

    Attributes:
        actor: the name of the new actor.
        video: the video file.
        frames: number of its frames.
    """

    actor: str
    video: Path
    frames: int


@dataclass(frozen=True)
class FaceFinding:
    """Faces in the recorded held-out frames are detected and kept, for all runs that are scored on them.

    Attributes:
        actor: the name of the actor.
        protocol: name or TOML file of the protocol; its metrics decide what is detected.
        split: the name of the split.
        size_px: side of the frames that the runs render.
        device: ``cpu`` or ``cuda``; None is a GPU if there is one.
    """

    actor: str
    protocol: str
    split: str
    size_px: int
    device: str | None = None


@dataclass(frozen=True)
class Making:
    """A run is made, or the edits of a finished run.

    Attributes:
        request: the run. With ``edits``, a finished fit is edited; a video editor has exactly one.
    """

    request: RunRequest


@dataclass(frozen=True)
class Task:
    """A task; an executor can do it in any process that sees the same files.

    Attributes:
        name: unique in the sweep, with ``/`` between its parts; the path of the result below the folder of runs.
        title: what people read.
        kind: what is made.
        work: the work.
        method, profile: the method and profile of the run; empty for other tasks.
        folder: the folder of the run or of the edit; None if the task makes no run.
        after: names of the tasks that must be done before this one begins.
    """

    name: str
    title: str
    kind: Kind
    work: Tracking | FaceFinding | Making
    method: str = ""
    profile: str = ""
    folder: Path | None = None
    after: tuple[str, ...] = ()


def task_to_json(task: Task) -> bytes:
    """Return a task as JSON, for another process."""
    from pydantic import TypeAdapter

    return TypeAdapter(Task).dump_json(task)


def task_from_json(content: bytes) -> Task:
    """Return the task that :func:`task_to_json` wrote.

    Raises:
        ValueError: the content is no task.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(Task).validate_json(content)
