"""Do the work of a task in this process."""

from __future__ import annotations

import numpy as np

from emo_bench import actors
from emo_bench.errors import UserError, one_line
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor
from emo_bench.metrics import Settings
from emo_bench.metrics.registry import metric_class
from emo_bench.metrics.watched import missing_for
from emo_bench.progress import track_progress
from emo_bench.runs.applied_protocol import AppliedProtocol, apply_protocol
from emo_bench.runs.clip_edits import plan_clip_edits
from emo_bench.runs.editing import make_edit
from emo_bench.runs.plan import RunRequest, plan_run
from emo_bench.runs.recorded import kept_results
from emo_bench.runs.run_scorer import SCORE_BATCH, open_scorer
from emo_bench.runs.runner import make
from emo_bench.sweeps.task import FaceFinding, Task, Tracking
from emo_bench.system.devices import chosen_device
from emo_bench.system.endings import machine_failure
from protocols import load_protocol


def do_task(task: Task) -> None:
    """Do a task to its end. What is finished already is not done again, and an interrupted run continues.

    Another process may do the same work at the same time: this one waits, and uses its result.

    Raises:
        UserError: the work cannot be done.
    """
    work = task.work
    if isinstance(work, Tracking):
        _track(work)
    elif isinstance(work, FaceFinding):
        _find_faces(work)
    else:
        _make(work.request)


def face_metrics(applied: AppliedProtocol, settings: Settings) -> list[str]:
    """Return the ids of the protocol's metrics that find faces, and that can run on this machine."""
    found = ((name, metric_class(name)) for name in applied.metrics)
    return [name for name, cls in found if cls.finds_faces and missing_for(cls, settings) is None]


def reason_of(error: BaseException) -> str:
    """Return why a task failed, in one line."""
    line = explained(error)
    return one_line(f"{type(error).__name__}: {error} (the log has the traceback)") if line is None else line


def explained(error: BaseException) -> str | None:
    """Return a failure that the user or the machine caused, in one line; None for a fault of the program."""
    if isinstance(error, UserError):
        return str(error)
    line = machine_failure(error) if isinstance(error, Exception) else None
    return None if line is None else one_line(line)


def _track(work: Tracking) -> None:
    from emo_bench.actors.add import add_video

    try:
        actors.load(work.actor)
    except UserError:
        add_video(work.video, work.actor)


def _find_faces(work: FaceFinding) -> None:
    """Score the recorded frames against themselves: each face is detected once, and kept for later scorings."""
    capture = actors.load(work.actor)
    applied = apply_protocol(load_protocol(work.protocol), capture, work.split)
    test = applied.split.test
    settings = Settings(device=chosen_device(work.device))
    metrics = face_metrics(applied, settings)
    if not metrics:
        return
    with kept_results(capture) as kept:
        scorer = open_scorer(applied.protocol, settings, work.size_px, capture, metrics, kept)
        with track_progress(len(test), f"actor {work.actor}: faces") as advance:
            for start in range(0, len(test), SCORE_BATCH):
                numbers = test[start : start + SCORE_BATCH]
                frames = np.stack(list(capture.frames(numbers, size=work.size_px)))
                scorer.add(frames, frames, numbers)
                advance(len(numbers))


def _make(request: RunRequest) -> None:
    cls = methods.method_class(request.method)
    if is_video_editor(cls):
        for plan in plan_clip_edits(request, cls):
            make(plan, wait=True)
        return
    plan = plan_run(request)
    if not request.edits:
        make(plan, wait=True)
    for edit in plan.edits:
        make_edit(edit, wait=True)
