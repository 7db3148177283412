"""An ablation is a sweep of the variants of a method; stages that several variants share are computed once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.plan import EditRequest, RunRequest, device_and_profile, plan_run
from emo_bench.runs.styles import named_style
from emo_bench.sweeps.engine import Result, Watch, run_tasks
from emo_bench.sweeps.in_process import InProcess
from emo_bench.sweeps.making import edit_task, run_task
from emo_bench.sweeps.task import Task
from protocols.ablation import Ablation, Variant
from protocols.styles import DEFAULT_STYLE

FOLDER = "ablation"
# Folder inside the ablation's folder that holds the stage results which the runs share.
CACHE = "cache"

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class AblationRequest:
    """An ablation that the user asks for.

    Attributes:
        base: actor, protocol, profile, seed, folder, device, and the settings of all variants; its method is not read.
        style: the style of the edits.
        edit_settings: settings of the edit stage of all variants.
        only: names of variants; empty for all.
        edits: False makes no edits.
    """

    base: RunRequest
    style: str = DEFAULT_STYLE
    edit_settings: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    edits: bool = True


@dataclass(frozen=True)
class VariantResult:
    """The result of one variant.

    Attributes:
        variant: the variant.
        run: folder of its finished run, or None.
        edit: folder of its finished edit, or None.
        missing: for ``run`` and ``edit``, why there is none, in one line; no entry for an edit that was not requested.
    """

    variant: Variant
    run: Path | None = None
    edit: Path | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


def ablation_folder(ablation: Ablation, request: AblationRequest) -> Path:
    """Return the folder of the tables and figures: ``<runs>/<protocol>/<actor>/ablation/<profile>-s<seed>``.

    Raises:
        UserError: there is no such actor, protocol or profile.
    """
    place = plan_run(_run_request(ablation, request, _reference(ablation))).folder
    return place.parent.parent / FOLDER / place.name


def run_ablation(ablation: Ablation, request: AblationRequest) -> Iterator[VariantResult]:
    """Make the variants, the reference first. Finished stages are skipped, so the same call continues an ablation.

    The runs share the results of their stages in the folder ``cache`` of the ablation: a stage that several runs share
    is computed once. Variants with the same settings share one run, which holds their edits. If a variant cannot be
    made, the reason is in its ``missing``.

    Raises:
        UserError: there is no such variant or style, or the reference itself cannot be run.
    """
    chosen = ablation.chosen(request.only)
    style = named_style(request.style)
    cache = ablation_folder(ablation, request).absolute() / CACHE
    planned = [_planned(ablation, request, variant, style, cache) for variant in chosen]
    tasks = {task.name: task for variant in planned for task in variant.tasks}
    over: dict[str, Result] = {}
    left = list(planned)
    left, ready = _split(left, over)
    yield from (_result(variant, over) for variant in ready)
    for result in run_tasks(list(tasks.values()), InProcess(), watch=_Said(planned)):
        over[result.task.name] = result
        _require_expected(result, planned[0])
        left, ready = _split(left, over)
        yield from (_result(variant, over) for variant in ready)


@dataclass(frozen=True)
class _Planned:
    """A variant with the tasks that make its run and its edit; ``missing`` says why there is no task."""

    variant: Variant
    run: Task | None = None
    edit: Task | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[Task]:
        return [task for task in (self.run, self.edit) if task is not None]


class _Said(Watch):
    """Logs which variant begins."""

    def __init__(self, planned: Sequence[_Planned]) -> None:
        self._planned = planned

    def started(self, task: Task) -> None:
        """Log the first variant that the task belongs to."""
        for number, one in enumerate(self._planned, start=1):
            if task in one.tasks:
                log.info("ablation: %s (%d of %d)", one.variant.title, number, len(self._planned))
                return


def _planned(ablation: Ablation, request: AblationRequest, variant: Variant, style: EditStyle, cache: Path) -> _Planned:
    """Return the tasks of a variant; a variant that cannot be planned has none, and the reference raises."""
    wanted = replace(_run_request(ablation, request, variant), cache=cache)
    try:
        plan = plan_run(wanted)
    except UserError as error:
        if variant.name == ablation.reference:
            raise
        log.info("ablation: %s left out: %s", variant.title, error)
        return _Planned(variant, missing={"run": str(error)})
    run = run_task(plan, wanted)
    if variant.edit is None or not request.edits:
        return _Planned(variant, run)
    try:
        return _Planned(variant, run, edit_task(plan, wanted, _edit_request(variant, style, request)))
    except UserError as error:
        log.info("ablation: edit of %s left out: %s", variant.title, error)
        return _Planned(variant, run, missing={"edit": str(error)})


def _split(left: Sequence[_Planned], over: Mapping[str, Result]) -> tuple[list[_Planned], list[_Planned]]:
    """Divide variants into those with tasks that are not over, and those that have a result."""
    ready = [one for one in left if all(task.name in over for task in one.tasks)]
    return [one for one in left if one not in ready], ready


def _result(planned: _Planned, over: Mapping[str, Result]) -> VariantResult:
    missing = dict(planned.missing)
    folders: dict[str, Path] = {}
    for part, task in (("run", planned.run), ("edit", planned.edit)):
        if task is None:
            continue
        result = over[task.name]
        if result.state == "done" and task.folder is not None:
            folders[part] = task.folder
        elif result.state == "failed":
            missing[part] = result.reason
    return VariantResult(planned.variant, folders.get("run"), folders.get("edit"), missing)


def _require_expected(result: Result, reference: _Planned) -> None:
    """Raise the error of a failed task if it is no UserError, or if the reference's run failed.

    A UserError of another task is a variant that cannot run on this machine.
    """
    if result.error is None:
        return
    if not isinstance(result.error, UserError) or result.task == reference.run:
        raise result.error
    log.info("ablation: %s left out: %s", result.task.title, result.reason)


def _edit_request(variant: Variant, style: EditStyle, request: AblationRequest) -> EditRequest:
    if variant.editor is not None:
        style = replace(style, editor=variant.editor, editor_settings=variant.editor_settings)
    return EditRequest(style, {**request.edit_settings, **(variant.edit or {})}, clip=request.base.clip)


def _run_request(ablation: Ablation, request: AblationRequest, variant: Variant) -> RunRequest:
    base = replace(request.base, method=ablation.method)
    _, profile = device_and_profile(base)
    return replace(base, settings={**base.settings, **variant.settings_of(profile)})


def _reference(ablation: Ablation) -> Variant:
    return next(variant for variant in ablation.variant if variant.name == ablation.reference)
