"""The tasks that make planned runs and their edits."""

from __future__ import annotations

import dataclasses

from emo_bench.runs.plan import EditPlan, EditRequest, Plan, RunRequest, plan_edit
from emo_bench.sweeps.task import Making, Task


def run_task(plan: Plan, request: RunRequest) -> Task:
    """Return the task that makes a run without its edits.

    Args:
        plan: the plan of the run.
        request: what it was planned from; ``edits`` is empty, except for a video editor.
    """
    # The profile is chosen once: a machine that does the task may have another default.
    request = dataclasses.replace(request, profile=plan.profile)
    seed = f", seed {request.seed}" if request.seed else ""
    driven = f" driven by {plan.request.driver}" if plan.request.driver else ""
    title = f"{_method_title(plan)} on actor {plan.request.actor}{driven}{_style_title(plan)}{seed}"
    return Task(
        name=_name(plan, request),
        title=title,
        kind="run",
        work=Making(request),
        method=plan.cls.info.name,
        profile=plan.profile,
        folder=plan.folder,
    )


def plan_edit_of(plan: Plan, wanted: EditRequest) -> EditPlan:
    """Return the plan of an edit of a planned run.

    Raises:
        UserError: the edit cannot be made.
    """
    capture, split = plan.applied.capture, plan.applied.split
    return plan_edit(plan.method, capture, split.name, split.train, smoke=plan.is_smoke, request=wanted)


def edit_task(plan: Plan, request: RunRequest, wanted: EditRequest) -> Task:
    """Return the task that makes an edit of a planned run, after the run itself.

    Raises:
        UserError: the edit cannot be made.
    """
    edit = plan_edit_of(plan, wanted)
    run = run_task(plan, request)
    return dataclasses.replace(
        run,
        name=edit.folder.relative_to(request.runs_dir).as_posix(),
        title=f"edit {edit.folder.name} of {run.title}",
        kind="edit",
        work=Making(dataclasses.replace(request, profile=plan.profile, edits=(wanted,))),
        folder=edit.folder,
        after=(run.name,),
    )


def _name(plan: Plan, request: RunRequest) -> str:
    return plan.folder.relative_to(request.runs_dir).as_posix()


def _method_title(plan: Plan) -> str:
    settings = " ".join(f"{key}={value}" for key, value in plan.request.settings.items())
    return f"{plan.cls.info.name} {settings}".rstrip()


def _style_title(plan: Plan) -> str:
    return f", edit {plan.style.name}" if plan.style is not None else ""
