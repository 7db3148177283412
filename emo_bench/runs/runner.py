"""The pipeline of a run: fit, render, score, edit. A finished stage is skipped, and an interrupted run continues."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_bench import assets
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor
from emo_bench.methods.interface import PAPER_PROFILE, EditStyle, Method
from emo_bench.runs import stages
from emo_bench.runs.applied_protocol import AppliedProtocol
from emo_bench.runs.clip_edits import plan_clip_edits
from emo_bench.runs.editing import make_edit
from emo_bench.runs.fit_reuse import places_of_fits
from emo_bench.runs.identity import facts_of_run, identity_of_run
from emo_bench.runs.log import log_file
from emo_bench.runs.pair_requests import requests_of_pairs
from emo_bench.runs.plan import Plan, RunRequest, plan_run, plan_trivial
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.runs.store import LOG, RunFolder, lock_folder
from emo_bench.system.devices import on_gpu

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class MadeRuns:
    """Folders of finished runs.

    Attributes:
        run: the folder of the requested run.
        trivial: the folders of the trivial methods' runs beside it.
        edits: the folders of its edits, in the order of the request. Each edit of a video editor is a run, and the
            first of them is ``run``.
        pairs: the folders of the runs with the protocol's other drivers; ``trivial`` has those beside them too.
    """

    run: Path
    trivial: tuple[Path, ...] = ()
    edits: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """All folders: the run's, those of other drivers, the trivial methods' and the edits'."""
        return list(dict.fromkeys([self.run, *self.pairs, *self.trivial, *self.edits]))


def run(
    request: RunRequest,
    *,
    trivial: bool = True,
    applied: AppliedProtocol | None = None,
    cls: type[Method] | None = None,
    style: EditStyle | None = None,
    wait: bool = False,
) -> list[Path]:
    """Return all folders: the run's, the trivial methods' and the edits'."""
    return make_runs(request, trivial=trivial, applied=applied, cls=cls, style=style, wait=wait).folders


def make_runs(
    request: RunRequest,
    *,
    trivial: bool = True,
    applied: AppliedProtocol | None = None,
    cls: type[Method] | None = None,
    style: EditStyle | None = None,
    wait: bool = False,
) -> MadeRuns:
    """Make a run, its edits, and the runs of the trivial methods; finished stages are skipped.

    A video editor has one run for each edit, and no trivial methods beside them. A protocol of cross-reenactment has
    one run for each driver, if the request names none.

    The method cannot read held-out frames. If another process is making the runs of the trivial methods, this process
    waits and uses them.

    Args:
        request: the run that the user asks for.
        trivial: also make the runs of the trivial methods.
        applied, cls, style: as in :func:`emo_bench.runs.plan.plan_run`.
        wait: wait if another process is making the requested run, instead of raising.

    Raises:
        UserError: a name is wrong, the video is too short, or the folder holds another run.
    """
    cls = cls or methods.method_class(request.method)
    if is_video_editor(cls):
        return _make_clip_edits(request, cls, wait)
    pairs = (request,) if applied is not None else requests_of_pairs(request)
    if len(pairs) > 1:
        return _make_pairs(pairs, trivial, cls, wait)
    (request,) = pairs
    plan = plan_run(request, applied=applied, cls=cls, style=style)
    if request.clip != ANY_CLIP and not plan.edits:
        plan.applied.require_clip_scores()
    make(plan, wait=wait)
    edits = tuple(make_edit(edit, wait=wait or not _is_edit_asked_for(request)) for edit in plan.edits)
    names = [name for name in methods.TRIVIAL if trivial and name != plan.cls.info.name]
    made = MadeRuns(plan.folder, edits=edits)
    beside = dataclasses.replace(plan.request, profile=plan.profile, device=plan.device, clip=plan.clip)
    applied, resolution_px = plan.applied, plan.method.resolution_px
    # The memory of the fit and the edit is freed, because the peak memory of the next runs is measured.
    del plan, edits
    for name in names:
        other = plan_trivial(name, beside, applied, resolution_px)
        make(other, wait=True)
        made = dataclasses.replace(made, trivial=(*made.trivial, other.folder))
    return made


def _make_pairs(requests: Sequence[RunRequest], trivial: bool, cls: type[Method], wait: bool) -> MadeRuns:
    """Make a run for each driver; all are planned and checked before the first is made."""
    for request in requests:
        plan_run(request, cls=cls)
    made = [make_runs(request, trivial=trivial, cls=cls, wait=wait) for request in requests]
    beside = tuple(folder for one in made for folder in one.trivial)
    return MadeRuns(made[0].run, trivial=beside, pairs=tuple(one.run for one in made[1:]))


def _make_clip_edits(request: RunRequest, cls: type[Method], wait: bool) -> MadeRuns:
    """Make the runs of a video editor, one for each edit; all are planned and checked before the first is made."""
    plans = plan_clip_edits(request, cls)
    folders = tuple(plan.folder for plan in plans)
    while plans:
        # A plan that is made is dropped with all that its editor loaded.
        make(plans.pop(0), wait=wait)
    return MadeRuns(folders[0], edits=folders)


def make(plan: Plan, *, wait: bool = False) -> None:
    """Do the unfinished stages of a planned run; its edits are not made here.

    Args:
        plan: the plan of the run.
        wait: wait if another process is making the run, instead of raising.

    Raises:
        UserError: the folder holds another run, or another process is making it.
    """
    # The method describes itself here. It may raise an error, and then no folder has been made.
    facts, identity = facts_of_run(plan), identity_of_run(plan)
    applied, actor = plan.applied, plan.request.actor
    with lock_folder(plan.folder, wait=wait), log_file(plan.folder / LOG):
        folder = RunFolder.open(plan.folder, identity, facts)
        _note_changes(folder, facts)
        edit = f", edit {plan.style.name}" if plan.style else ""
        edit += f", driven by {applied.driver.name}" if applied.driver else ""
        name = (
            f"{plan.cls.info.name} on actor {plan.request.actor}{edit}, {applied.protocol.name}, {applied.split.name}"
        )
        log.info("%s, profile %s, seed %d: %s", name, plan.profile, plan.request.seed, plan.folder)
        _say_what_paper_needs(plan)
        if plan.no_edit:
            log.info("edit: will be left out: %s", plan.no_edit)
        for flag in folder.manifest["flags"]:
            log.info("note: %s", flag)
        fits = () if applied.renders_own_frames else places_of_fits(plan.folder, plan.request.runs_dir, actor)
        job = stages.Job(
            folder, plan.method, applied.capture, applied.protocol, applied.split, plan.device,
            style=plan.style, edits_clip=is_video_editor(plan.cls), clip=plan.clip, driver=applied.driver,
            truth=applied.truth, views_clip=applied.views_clip, fits=fits,
        )  # fmt: skip
        stages.do_all(job)


def _is_edit_asked_for(request: RunRequest) -> bool:
    return any(edit.asked_for for edit in request.edits)


def _say_what_paper_needs(plan: Plan) -> None:
    """Log what the ``paper`` profile needs, if the profile was chosen only because there is a GPU."""
    chosen_here = plan.request.profile is None and on_gpu(plan.device)
    if not chosen_here or plan.profile == PAPER_PROFILE or PAPER_PROFILE not in methods.profiles_of(plan.cls):
        return
    lacking = [name for name in methods.assets_of(plan.cls, PAPER_PROFILE) if assets.locate(name) is None]
    needs = "has all its assets here"
    if lacking:
        remedies = "; ".join(assets.find_asset(name).remedy() for name in lacking)
        needs = f"would need {', '.join(lacking)} ({remedies})"
    log.info(
        "profile %s is the default on a GPU; --profile paper (published sizes and schedules, hours to days) %s",
        plan.profile,
        needs,
    )


def _note_changes(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Store facts that may change without making another run: the method's description and the places of files."""
    said = {key: facts[key] for key in ("title", "kind", "method", "method_place", "protocol_place") if key in facts}
    if any(folder.manifest.get(key) != value for key, value in said.items()):
        folder.note(**said)
