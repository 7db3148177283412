"""Edit a finished run: resolve the style, run the edit stage, render the edited clip and score it.

An edit is a run folder inside the run's folder.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import VIDEO_EDITOR, is_video_editor
from emo_bench.methods.interface import GIVEN_PROFILE, EditStyle, Method, Workspace
from emo_bench.methods.watched import WatchedMethod, build_watched
from emo_bench.metrics.judged import JUDGED
from emo_bench.runs import stages
from emo_bench.runs.checksums import fit_files, fitted_from, other_base, require_unchanged
from emo_bench.runs.finished import EDITS, is_finished
from emo_bench.runs.identity import facts_of_edit, identity_of_edit
from emo_bench.runs.log import log_file
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.plan import EditPlan, EditRequest, plan_edit
from emo_bench.runs.store import LOG, RunFolder, lock_folder
from emo_bench.system.devices import chosen_device
from protocols.splitting import parse_frames

SAME_CLIP = "CLIP scores are by the CLIP that the edit was trained with"
SAME_JUDGE = "the judge is the CLIP that the edit was trained with, so it is not independent"

log = logging.getLogger("emo_bench")


def edit(
    run: Path,
    request: EditRequest,
    device: str | None = None,
    method: str | None = None,
    *,
    trust: bool = False,
    wait: bool = False,
) -> Path:
    """Make the edit of a finished run, and score it under protocol ``editing``; finished stages are skipped.

    Args:
        run: the run's folder.
        request: the edit that the user asks for.
        device: ``cpu`` or ``cuda``; None takes a GPU if there is one.
        method: the method as the user named it; needed only if it is not registered.
        trust: whether the file that the run names as its method's may be executed.
        wait: wait if another process is making the same edit, instead of raising.

    Returns:
        The edit's folder.

    Raises:
        UserError: there is no finished run, its actor has changed, or the edit cannot be made.
    """
    base, manifest = open_method(run, device, method, trust=trust)
    identity, split = manifest["identity"], manifest["split"]
    capture = actors.load(identity["actor"]["name"])
    if capture.sha256 != identity["actor"]["sha256"]:
        raise UserError(f"actor {capture.name} is no longer the one that {run} was fitted on: run again")
    train = parse_frames(split["train"])
    plan = plan_edit(base, capture, split["name"], train, smoke=manifest["smoke"], request=request)
    return make_edit(plan, wait=wait)


def make_edit(plan: EditPlan, *, wait: bool = False) -> Path:
    """Do the unfinished stages of a planned edit; the run that it edits is finished.

    Args:
        plan: the plan of the edit.
        wait: wait if another process is making the same edit, instead of raising.

    Returns:
        The edit's folder.

    Raises:
        UserError: the folder holds another edit, a link leads out of the run's folder, or another process is making it.
    """
    manifest = read_manifest(plan.run)
    require_unchanged(plan.run, manifest, fit_files(manifest))
    folder, applied = plan.folder, plan.applied
    for part in (folder.parent, folder):
        if part.is_symlink():
            raise UserError(f"{part} is a link, which may lead out of the run's folder: remove it")
    with lock_folder(folder, wait=wait), log_file(folder / LOG):
        opened = RunFolder.open(folder, identity_of_edit(plan, manifest), facts_of_edit(plan, manifest))
        log.info("edit %s of %s: %s", plan.style.name, plan.run, folder)
        job = stages.Job(
            opened, plan.method, applied.capture, applied.protocol, applied.split, plan.method.workspace.device,
            style=plan.style, clip=plan.clip, made_from=fitted_from(manifest),
        )  # fmt: skip
        stages.do_all(job)
        _flag_same_clip(opened)
    return folder


def open_method(
    run: Path, device: str | None = None, method: str | None = None, *, trust: bool = False
) -> tuple[WatchedMethod, dict[str, Any]]:
    """Return the method over a finished run's folder, not loaded yet, and the run's manifest.

    Args:
        run: the run's folder.
        device: ``cpu`` or ``cuda``; None takes a GPU if there is one.
        method: the method as the user named it; None takes the one that the run names.
        trust: whether the file that the run names as its method's may be executed.

    Raises:
        UserError: there is no finished run, its method is not installed here, or its file needs ``trust``.
    """
    manifest = read_manifest(run)
    if not manifest["stages"].get("fit", {}).get("finished_at"):
        raise UserError(f"{run} is not fitted yet: give its emo-bench run command again")
    identity = manifest["identity"]
    require_unchanged(run, manifest, fit_files(manifest))
    if manifest.get("kind") == VIDEO_EDITOR:
        raise UserError(
            f"{run} holds an edit of the recorded video by {manifest['title']}: there is no avatar here that could be "
            "edited or driven"
        )
    if "style" in identity and run.absolute().parent.name == EDITS:
        raise UserError(f"{run} is an edit: give the run it belongs to, {run.parent.parent}")
    cls = _method_class(run, manifest, trust) if method is None else methods.method_class(method)
    workspace = Workspace(
        run,
        identity["profile"],
        identity["seed"],
        chosen_device(device),
        identity["settings"],
        manifest["capture"].get("size_px"),
    )
    return build_watched(cls, workspace), manifest


def _method_class(run: Path, manifest: Mapping[str, Any], trust: bool) -> type[Method]:
    """Return the class of a run's method: the registered class of that name or, if trusted, the one in its file."""
    identity, place = manifest["identity"], manifest.get("method_place")
    name = identity["method"]
    again = "give its emo-bench run command again, with --method as the file lies now"
    if name in methods.known_methods():
        return methods.method_class(name)
    if place is None and identity["profile"] == GIVEN_PROFILE:
        raise UserError(f"{run} holds frames made elsewhere: there is no avatar here to open")
    if place is None:
        raise UserError(
            f"{run} is of method {name!r}, which is not installed here, and does not name its file: {again}"
        )
    file = methods.method_file(place)
    if file is None or not file.is_file():
        raise UserError(f"{run} was made by {place}, which does not exist any more: {again}")
    if not trust:
        what = "runs the shell commands of" if file.suffix == ".toml" else "executes the Python file"
        raise UserError(
            f"{run} names its method's file: opening it {what} {file.resolve()}; look at that file, and give --trust "
            f"if you trust it"
        )
    cls = methods.method_class(place)
    if cls.info.name != name:
        raise UserError(f"{run} is of {name!r}, but {place} calls itself {cls.info.name!r} now")
    return cls


def open_video_editor(run: Path, folder: Path, device: str, *, trust: bool = False) -> WatchedMethod:
    """Return the video editor of a run with its edit, over another folder, so that it edits the whole clip again.

    Args:
        run: a run of a video editor.
        folder: the folder in which it works.
        device: ``cpu`` or ``cuda``.
        trust: whether the file that the run names as its method's may be executed.

    Raises:
        UserError: the method is not installed here, is no video editor any more, or its file needs ``trust``.
    """
    manifest = read_manifest(run)
    identity = manifest["identity"]
    cls = _method_class(run, manifest, trust)
    if not is_video_editor(cls) or "style" not in identity:
        raise UserError(f"{run} says that a video editor made it, and {identity['method']} is none")
    workspace = Workspace(
        folder,
        identity["profile"],
        identity["seed"],
        chosen_device(device),
        identity["settings"],
        manifest["capture"].get("size_px"),
    )
    return build_watched(cls, workspace).edit(_style_of(identity), workspace)


def open_edit(base: Method, style: str) -> Method:
    """Return the finished edit of that name (or ``NAME+variant``) in the run's folder, not loaded yet.

    Raises:
        UserError: there is no such edit; the message lists the edits of the run.
    """
    folder = base.workspace.folder / EDITS / style
    if not (folder / "run.json").is_file() or not is_finished(folder):
        made = sorted(p.parent.name for p in (base.workspace.folder / EDITS).glob("*/run.json"))
        there = f"; there are: {', '.join(made)}" if made else ""
        raise UserError(f"{base.workspace.folder} has no finished edit {style!r}{there}")
    manifest = read_manifest(folder)
    require_unchanged(folder, manifest, fit_files(manifest))
    kept = manifest["identity"]
    settings = {key.removeprefix("edit."): value for key, value in kept["settings"].items() if key.startswith("edit.")}
    if "style" not in kept:
        raise UserError(f"{folder} is no edit, although it lies where edits do: remove it")
    stale = other_base(manifest, read_manifest(base.workspace.folder))
    if stale is not None:
        raise UserError(f"{folder}: {stale}: give the run's emo-bench run command again")
    return base.edit(_style_of(kept), dataclasses.replace(base.workspace, folder=folder, settings=settings))


def _style_of(identity: Mapping[str, Any]) -> EditStyle:
    fields = {field.name for field in dataclasses.fields(EditStyle)}
    return EditStyle(**{key: value for key, value in identity["style"].items() if key in fields})


def _flag_same_clip(folder: RunFolder) -> None:
    """Add a note to the run if the same CLIP model trained the edit and scored it."""
    trained = {sha256 for name, sha256 in folder.manifest["identity"]["assets"].items() if name.startswith("clip ")}
    records = folder.manifest["stages"]["score"]["records"]
    for sentence, judged in ((SAME_CLIP, False), (SAME_JUDGE, True)):
        names = [name for name in records if name.startswith("clip_") and name.endswith(JUDGED) == judged]
        scored = {records[name]["backend"]["sha256"] for name in names}
        if trained & scored and sentence not in folder.manifest["flags"]:
            folder.note(flags=[*folder.manifest["flags"], sentence])
