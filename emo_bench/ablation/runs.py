"""Make the variants of a method as runs; stages that several variants share are computed once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle
from emo_bench.runs.editing import make_edit
from emo_bench.runs.plan import EditRequest, Plan, RunRequest, device_and_profile, plan_edit, plan_run
from emo_bench.runs.runner import make
from emo_bench.runs.styles import named_style
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
    requests = {variant.name: _run_request(ablation, request, variant) for variant in chosen}
    cache = ablation_folder(ablation, request).absolute() / CACHE
    finished: set[Path] = set()
    for number, variant in enumerate(chosen, start=1):
        log.info("ablation: %s (%d of %d)", variant.title, number, len(chosen))
        wanted = replace(requests[variant.name], cache=cache)
        try:
            plan = plan_run(wanted)
            if plan.folder not in finished:
                make(plan, wait=True)
                finished.add(plan.folder)
        except UserError as error:
            if variant.name == ablation.reference:
                raise
            log.info("ablation: %s left out: %s", variant.title, error)
            yield VariantResult(variant, missing={"run": str(error)})
            continue
        if variant.edit is None or not request.edits:
            yield VariantResult(variant, plan.folder)
        else:
            yield _edited(plan, variant, _edit_request(variant, style, request))


def _edit_request(variant: Variant, style: EditStyle, request: AblationRequest) -> EditRequest:
    if variant.editor is not None:
        style = replace(style, editor=variant.editor, editor_settings=variant.editor_settings)
    return EditRequest(style, {**request.edit_settings, **(variant.edit or {})}, clip=request.base.clip)


def _edited(plan: Plan, variant: Variant, wanted: EditRequest) -> VariantResult:
    """Return the variant with its edit, or with the reason why there is none."""
    try:
        capture, split = plan.applied.capture, plan.applied.split
        edit = plan_edit(plan.method, capture, split.name, split.train, smoke=plan.is_smoke, request=wanted)
        return VariantResult(variant, plan.folder, make_edit(edit, wait=True))
    except UserError as error:
        log.info("ablation: edit of %s left out: %s", variant.title, error)
        return VariantResult(variant, plan.folder, missing={"edit": str(error)})


def _run_request(ablation: Ablation, request: AblationRequest, variant: Variant) -> RunRequest:
    base = replace(request.base, method=ablation.method)
    _, profile = device_and_profile(base)
    return replace(base, settings={**base.settings, **variant.settings_of(profile)})


def _reference(ablation: Ablation) -> Variant:
    return next(variant for variant in ablation.variant if variant.name == ablation.reference)
