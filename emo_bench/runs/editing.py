"""Edits of finished runs: style, edit stage, rendering of the clip, scores; a run folder inside the run's."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import protocols
from emo_bench import actors
from emo_bench.assets import sha256_of
from emo_bench.clip.model import find_clip
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import GIVEN_PROFILE, EditStyle, Method, Workspace
from emo_bench.methods.watched import WatchedMethod, build_watched
from emo_bench.runs import stages
from emo_bench.runs.finished import is_finished
from emo_bench.runs.log import log_file
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.store import LOG, RunFolder, lock_folder, variant_name
from emo_bench.runs.style_names import REFERENCE, name_of, told_apart
from emo_bench.system.devices import chosen_device
from protocols.splitting import parse_frames
from protocols.styles import DEFAULT_STYLE, Style, load_style

EDITS = "edit"
PROTOCOL, MINI_PROTOCOL = "editing", "editing-mini"
SAME_CLIP = "CLIP scores are by the CLIP that the edit was trained with"

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class EditRequest:
    """What the user asks for.

    Attributes:
        style: what to make.
        settings: of the edit stage, without the prefix ``edit.``.
        asked_for: False for the edit that ``run`` makes of its own accord; what stands in its way is then a note.
        clip: CLIP model of the CLIP scores; that of the training is the setting ``clip``.
    """

    style: Style
    settings: Mapping[str, str] = field(default_factory=dict)
    asked_for: bool = True
    clip: str = "auto"


def choose_style(name: str | None, reference: Path | None, prompt: str | None, source_prompt: str | None) -> Style:
    """The style of a command: a named one, one around the user's own reference picture, or the default.

    Raises:
        UserError: the options do not go together, or the style is not there.
    """
    if reference is None:
        if prompt or source_prompt:
            raise UserError("--prompt and --source-prompt go with --reference; a style has its own captions")
        return load_style(name or DEFAULT_STYLE)
    if name is not None:
        raise UserError("give --style or --reference, not both")
    if not prompt or not source_prompt:
        raise UserError(
            '--reference needs captions of the edit: --source-prompt "a photo of a man" --prompt "a clay bust of a man"'
        )
    described = EditStyle("", source_prompt, prompt, prompt, "file", {"image": str(reference)})
    return Style(
        name=name_of(reference.stem, described, prefix="own-", longest=40),
        title=reference.stem,
        source_caption=source_prompt,
        target_caption=prompt,
        instruction=prompt,
        editor="file",
        editor_settings=dict(described.editor_settings),
    )


def check_edit(
    method: Method, capture: actors.Capture, split: protocols.Split, smoke: bool, request: EditRequest
) -> str | None:
    """Why the edit cannot be made, in one line, or None; it costs nothing, so ask before a long fit.

    Args:
        method, capture, split: what will be fitted.
        smoke: whether the run is one for trying things out.
        request: the edit.

    Raises:
        UserError: so for an edit that was asked for.
    """
    try:
        if request.clip != "auto":
            find_clip(request.clip)
        _edited(method, _told_apart(method, request))
        _clip(_protocol(smoke), capture, split.name, split.train)
    except UserError as error:
        if request.asked_for:
            raise
        return str(error)
    return None


def edit(
    run: Path, request: EditRequest, device: str | None = None, method: str | None = None, *, wait: bool = False
) -> Path | None:
    """Make the edit of a finished run, and score it under protocol ``editing``; finished stages are left as they are.

    Args:
        run: the run's folder.
        request: what to make.
        device: ``cpu`` or ``cuda``; None for the machine's.
        method: as the user named it, where it is not a registered one.
        wait: for another process that is at work on the same edit; so does an edit that was not asked for.

    Returns:
        The edit's folder; None when it was not asked for and cannot be made (the log says why).
    """
    base, manifest = open_method(run, device, method)
    protocol = _protocol(manifest["smoke"])
    capture = actors.load(manifest["identity"]["actor"]["name"])
    try:
        if capture.sha256 != manifest["identity"]["actor"]["sha256"]:
            raise UserError(f"actor {capture.name} is no longer the one that {run} was fitted on: run again")
        of_fit = manifest["split"]
        split = _clip(protocol, capture, of_fit["name"], parse_frames(of_fit["train"]))
        request = _told_apart(base, request)
        edited = _edited(base, request)
    except UserError as error:
        if request.asked_for:
            raise
        log.info("edit: left out: %s", error)
        return None
    folder = edited.workspace.folder
    for part in (folder.parent, folder):
        if part.is_symlink():
            raise UserError(f"{part} is a link, which may lead out of the run's folder: remove it")
    with lock_folder(folder, wait=wait or not request.asked_for), log_file(folder / LOG):
        opened = RunFolder.open(
            folder, _identity(manifest, protocol, split, request, edited), _facts(manifest, protocol, split, request)
        )
        log.info("edit %s of %s: %s", request.style.name, run, folder)
        job = stages.Job(
            opened, edited, capture, protocol, split, edited.workspace.device,
            style=edit_style(request.style), clip=request.clip,
        )  # fmt: skip
        stages.fit(job)
        stages.render(job)
        stages.score(job)
        _flag_same_clip(opened)
    return folder


def open_method(
    run: Path, device: str | None = None, method: str | None = None, *, trust: bool = False
) -> tuple[WatchedMethod, dict[str, Any]]:
    """The method over a finished run's folder, not loaded yet, and the run's manifest.

    Args:
        run: the run's folder.
        device: ``cpu`` or ``cuda``; None for the machine's.
        method: as the user named it; None for the run's own.
        trust: whether the file that the run names as its method's may be executed.

    Raises:
        UserError: there is no finished run, its method is not known here, or would have to be trusted.
    """
    if not (run / "run.json").is_file():
        raise UserError(f"{run} is not a run: give the folder with run.json, or make a run with: emo-bench run")
    manifest = read_manifest(run)
    if not manifest["stages"].get("fit", {}).get("finished_at"):
        raise UserError(f"{run} is not fitted yet: give its emo-bench run command again")
    identity = manifest["identity"]
    if "style" in identity:
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
    """The class of a run's method: the registered one of its name, else, trusted, that of the place that the run was
    made from.
    """
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
            f"if "
            "you trust it"
        )
    cls = methods.method_class(place)
    if cls.info.name != name:
        raise UserError(f"{run} is of {name!r}, but {place} calls itself {cls.info.name!r} now")
    return cls


def open_edit(base: Method, style: str) -> Method:
    """The finished edit of that name (or ``NAME+variant``) in the run's folder, not loaded yet.

    Raises:
        UserError: there is none; the line names those that there are.
    """
    folder = base.workspace.folder / EDITS / style
    if not (folder / "run.json").is_file() or not is_finished(folder):
        made = sorted(p.parent.name for p in (base.workspace.folder / EDITS).glob("*/run.json"))
        there = f"; there are: {', '.join(made)}" if made else ""
        raise UserError(f"{base.workspace.folder} has no finished edit {style!r}{there}")
    kept = read_manifest(folder)["identity"]
    settings = {key.removeprefix("edit."): value for key, value in kept["settings"].items() if key.startswith("edit.")}
    if "style" not in kept:
        raise UserError(f"{folder} is no edit, although it lies where edits do: remove it")
    fields = {field.name for field in dataclasses.fields(EditStyle)}
    named = EditStyle(**{key: value for key, value in kept["style"].items() if key in fields})
    return base.edit(named, dataclasses.replace(base.workspace, folder=folder, settings=settings))


def edit_style(style: Style) -> EditStyle:
    """A style as methods get it."""
    return EditStyle(
        style.name,
        style.source_caption,
        style.target_caption,
        style.instruction,
        style.editor,
        dict(style.editor_settings),
    )


def _folder(base: Method, request: EditRequest, style_name: str) -> Path:
    variant = variant_name(request.settings)
    return base.workspace.folder / EDITS / (f"{style_name}+{variant}" if variant else style_name)


def _told_apart(base: Method, request: EditRequest) -> EditRequest:
    """The request with a style of the user's own under a name that no other edit of the run has."""
    if request.style.editor != "file":
        return request
    style = told_apart(edit_style(request.style), lambda name: _folder(base, request, name))
    return dataclasses.replace(request, style=request.style.model_copy(update={"name": style.name}))


def _edited(base: Method, request: EditRequest) -> Method:
    folder = _folder(base, request, request.style.name)
    workspace = dataclasses.replace(base.workspace, folder=folder, settings=dict(request.settings))
    return base.edit(edit_style(request.style), workspace)


def _protocol(smoke: bool) -> protocols.Protocol:
    return protocols.load_protocol(MINI_PROTOCOL if smoke else PROTOCOL)


def _clip(
    protocol: protocols.Protocol, capture: actors.Capture, split_name: str, train: tuple[int, ...]
) -> protocols.Split:
    """The clip to edit, held out of the fit too, with the fit's training frames."""
    clip = protocols.split(protocol, len(capture), capture.valid_indices)
    if set(clip.test) & set(train):
        raise UserError(
            f"protocol {protocol.name} edits the end of the video, which split {split_name} trains on: "
            "run with --split tail-500, or with --skip-edit"
        )
    flags = list(clip.flags)
    if round(capture.fps) != 25:
        flags.append(f"the clip has {capture.fps:g} frames a second, not 25")
    return dataclasses.replace(clip, train=train, unused=(), guard=(), flags=tuple(flags))


def _identity(
    manifest: Mapping[str, Any],
    protocol: protocols.Protocol,
    split: protocols.Split,
    request: EditRequest,
    edited: Method,
) -> dict[str, Any]:
    of_fit = manifest["identity"]
    described = edited.describe()
    assets: Any = described.get("assets", {})
    return {
        "protocol": {"name": protocol.name, "version": protocol.version, "hash": protocol.hash()},
        "split": {"name": split.name, "sha256": split.digest()},
        "actor": of_fit["actor"],
        "method": of_fit["method"],
        "profile": of_fit["profile"],
        "seed": of_fit["seed"],
        "settings": of_fit["settings"] | {f"edit.{key}": value for key, value in request.settings.items()},
        "resolution_px": of_fit["resolution_px"],
        "style": dataclasses.asdict(edit_style(request.style)),
        "config": described.get("config", {}),
        "assets": {**_own_picture(request.style), **assets},
    }


def _own_picture(style: Style) -> dict[str, str]:
    """The digest of a picture of the user's own, under the name that :mod:`emo_bench.runs.style_names` looks for."""
    return {REFERENCE: sha256_of(Path(style.editor_settings["image"]))} if style.editor == "file" else {}


def _facts(
    manifest: Mapping[str, Any], protocol: protocols.Protocol, split: protocols.Split, request: EditRequest
) -> dict[str, Any]:
    kept = ("title", "smoke", "capture", "method")
    return {
        **{key: manifest[key] for key in kept},
        "style_title": request.style.title,
        "flags": list(dict.fromkeys([*manifest["flags"], *split.flags])),
        "protocol_title": protocol.title,
        "split": split.as_dict(),
    }


def _flag_same_clip(folder: RunFolder) -> None:
    """Say so when one CLIP both trained the edit and measured it."""
    trained = {sha256 for name, sha256 in folder.manifest["identity"]["assets"].items() if name.startswith("clip ")}
    records = folder.manifest["stages"]["score"]["records"]
    scored = {record["backend"]["sha256"] for name, record in records.items() if name.startswith("clip_")}
    if trained & scored and SAME_CLIP not in folder.manifest["flags"]:
        folder.note(flags=[*folder.manifest["flags"], SAME_CLIP])
