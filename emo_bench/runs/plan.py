"""The plan of a run: every choice is made and checked once, before there is a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import protocols
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.clip.model import find_clip
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor, kind_of
from emo_bench.methods.interface import GPU_PROFILE, SMOKE_PROFILE, EditStyle, Method, Workspace
from emo_bench.methods.seeds import require_seed
from emo_bench.methods.watched import WatchedMethod, build_watched
from emo_bench.runs.applied_protocol import AppliedProtocol, apply_protocol
from emo_bench.runs.finished import EDITS
from emo_bench.runs.settings import ANY_CLIP, CLIP
from emo_bench.runs.store import RunPlace, variant_name
from emo_bench.runs.style_names import is_told_in_words, require_distinct, told_apart
from emo_bench.system.devices import chosen_device, on_gpu
from protocols.loader import DEFAULT_PROTOCOL, todays_version

MINI_PROTOCOL = "self_reenactment-mini"
EDIT_PROTOCOL, MINI_EDIT_PROTOCOL = "editing", "editing-mini"
CROSS_PROTOCOL, MINI_CROSS_PROTOCOL = "cross_reenactment", "cross_reenactment-mini"
EDITING = "editing"


@dataclass(frozen=True)
class EditRequest:
    """The edit that the user asks for.

    Attributes:
        style: the style of the edit.
        settings: settings of the edit, without the prefix ``edit.``.
        asked_for: False for the edit that a run makes by default; if it cannot be made, the run only notes why.
        options: the options that ask for the edit, as the user typed them.
        clip: the CLIP model of the CLIP scores, and of the training if ``settings`` name no other.
    """

    style: EditStyle
    settings: Mapping[str, str] = field(default_factory=dict)
    asked_for: bool = True
    clip: str = ANY_CLIP
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRequest:
    """The run that the user asks for; None means that the machine, the profile or the protocol decides.

    Attributes:
        method: a name, ``path/to/file.py:Class`` or ``path/to/file.toml``.
        actor, driver, protocol, split, profile, seed: as in ``emo_bench.run``.
        settings: settings of the method.
        runs_dir: the folder that keeps the runs.
        device: ``cpu`` or ``cuda``.
        cache: folder in which the runs of one study share the results of stages; the result is the same.
        clip: the CLIP model of all CLIP scores, also those of the edit.
        edits: the edits of the fitted avatar, or those of a video editor; empty makes none.
    """

    method: str
    actor: str
    protocol: str | None = None
    split: str | None = None
    profile: str | None = None
    seed: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    runs_dir: Path = Path("runs")
    device: str | None = None
    cache: Path | None = None
    clip: str = ANY_CLIP
    edits: tuple[EditRequest, ...] = ()
    driver: str | None = None


@dataclass(frozen=True)
class EditPlan:
    """An edit with every choice made.

    Attributes:
        run: folder of the run that is edited.
        style: the style, under a name that no other edit of the run has.
        settings: settings of the edit, without the prefix ``edit.``.
        applied: the editing protocol on the run's capture, with the training frames of the run.
        method: the edit as a method, over its folder inside the run's.
        clip: the CLIP model of the CLIP scores.
    """

    run: Path
    style: EditStyle
    settings: Mapping[str, str]
    applied: AppliedProtocol
    method: Method
    clip: str

    @property
    def folder(self) -> Path:
        """The edit's folder."""
        return self.method.workspace.folder


@dataclass(frozen=True)
class Plan:
    """A run with every choice made.

    Attributes:
        request: the user's request; its actor is named as in the actor's own record.
        cls: class of the method.
        applied: the protocol on the actor's capture.
        profile: one of the method's profiles.
        device: the device, as torch names it.
        method: the method over the run's folder, which need not exist yet.
        clip: the CLIP model of the CLIP scores.
        style: the edit that a video editor makes, or that given frames show; None for a fit.
        edits: the edits that are made of the fit.
        no_edit: why the edit that a run makes by default is left out; empty if nobody asked, or if it is made.
    """

    request: RunRequest
    cls: type[Method]
    applied: AppliedProtocol
    profile: str
    device: str
    method: WatchedMethod
    clip: str = ANY_CLIP
    style: EditStyle | None = None
    edits: tuple[EditPlan, ...] = ()
    no_edit: str = ""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.method.workspace.folder

    @property
    def is_smoke(self) -> bool:
        """Whether the run is for trying things out, so that its numbers are not results."""
        return _is_smoke(self.profile, self.applied.protocol)

    @property
    def kind(self) -> str:
        """The kind of what makes the frames, see :mod:`emo_bench.methods.clip_method`."""
        return kind_of(self.cls, self.profile)


def plan_run(
    request: RunRequest,
    *,
    applied: AppliedProtocol | None = None,
    cls: type[Method] | None = None,
    style: EditStyle | None = None,
) -> Plan:
    """Make every choice of a run and check it. Nothing is written, and the method is built once.

    Args:
        request: the run that the user asks for.
        applied: the protocol on the actor's capture, if a caller has loaded them already.
        cls: class of the method, if ``request.method`` does not name it.
        style: the edit that a video editor makes, or that given frames show.

    Raises:
        UserError: a name is wrong, the video is too short, or the choices do not go together.
    """
    cls = cls or methods.method_class(request.method)
    if is_video_editor(cls) and style is None:
        raise UserError(f"method {cls.info.name} edits recorded videos and fits no avatar: give it an edit")
    if request.method != cls.info.name and cls.info.name in methods.known_methods():
        raise UserError(f"{request.method} calls itself {cls.info.name!r}, which is another method's name")
    require_seed(request.seed)
    device, profile = device_and_profile(request, cls)
    # If the list of assets is wrong, the method is wrong on any machine; this is reported before there is a folder.
    methods.assets_of(cls, profile)
    if applied is None:
        applied = _applied_protocol_of(request, profile, edits_clip=is_video_editor(cls))
    protocol = applied.protocol
    if profile == SMOKE_PROFILE and not protocol.mini:
        raise UserError(f"profile smoke goes with a mini protocol, not {protocol.name}: {_remedy_of_smoke(protocol)}")
    applied.require_views_of(cls.info)
    if protocol.task == EDITING and style is None:
        raise UserError(
            f"protocol {protocol.name} scores edits, and a run scores the avatar before its edit: leave out "
            "--protocol; the edit of a run is scored under the editing protocol anyway"
        )
    driver = None if applied.driver is None else applied.driver.name
    request = dataclasses.replace(request, actor=applied.capture.name, driver=driver)
    if request.clip != ANY_CLIP:
        find_clip(request.clip)
    folder_of = partial(_run_folder, request, cls.info.name, profile, applied)
    if style is not None:
        applied.require_readable_captions(style, request.clip)
        style = told_apart(style, folder_of)
    folder = folder_of(style.name if style else None)
    size_px = applied.capture.size_px
    workspace = Workspace(folder, profile, request.seed, device, request.settings, size_px, request.cache)
    clip = request.clip if applied.has_clip_scores else ANY_CLIP
    method = build_watched(cls, workspace)
    if style is not None and is_video_editor(cls):
        method = method.edit(style, workspace)
    plan = Plan(request, cls, applied, profile, device, method, clip, style)
    edits, no_edit = _edits_of(plan)
    return dataclasses.replace(plan, edits=edits, no_edit=no_edit)


def device_and_profile(request: RunRequest, cls: type[Method] | None = None) -> tuple[str, str]:
    """Choose the device and the profile of a run.

    Args:
        request: the run that the user asks for.
        cls: class of the method, if a caller has it already.

    Raises:
        UserError: this machine has no such device, or the method no such profile.
    """
    cls = cls or methods.method_class(request.method)
    device = chosen_device(request.device)
    profile = request.profile or default_profile(cls, device)
    offered = methods.profiles_of(cls)
    if profile not in offered:
        raise UserError(f"method {cls.info.name} has no profile {profile!r}; its profiles: {', '.join(offered)}")
    return device, profile


def default_profile(cls: type[Method], device: str) -> str:
    """Return the default profile: ``gpu`` on a GPU, ``cpu`` without one or if there is no ``gpu``.

    If the method has neither, it is the first profile that is not ``smoke``. It is ``paper`` only if there is no other
    one, because ``paper`` needs downloaded weights and takes days.
    """
    offered = methods.profiles_of(cls)
    wanted = (GPU_PROFILE, "cpu") if on_gpu(device) else ("cpu",)
    others = (profile for profile in offered if profile != SMOKE_PROFILE)
    return next((profile for profile in wanted if profile in offered), None) or next(others, offered[0])


def plan_trivial(name: str, request: RunRequest, applied: AppliedProtocol, resolution_px: int) -> Plan:
    """Return the plan of a trivial method on the same frames, at the same resolution.

    Args:
        name: the name of the trivial method.
        request: the request of the run beside it, with the profile and the device of that run's plan.
        applied: the protocol on the capture, as in that plan.
        resolution_px: side of that run's frames.
    """
    offered = methods.profiles_of(methods.method_class(name))
    profile = request.profile if request.profile in offered else "cpu"
    beside = dataclasses.replace(request, method=name, profile=profile, settings={}, edits=())
    plan = plan_run(beside, applied=applied)
    if plan.method.resolution_px == resolution_px:
        return plan
    sized = dataclasses.replace(beside, settings={"resolution_px": str(resolution_px)})
    return plan_run(sized, applied=applied)


def plan_edit(
    method: Method, capture: Capture, split: str, train: tuple[int, ...], *, smoke: bool, request: EditRequest
) -> EditPlan:
    """Make every choice of an edit and check it; nothing is written, and the edit is built once.

    Args:
        method: the method over the run's folder, fitted or not.
        capture: the capture that it is fitted on.
        split, train: name of the split that it is fitted on, and its training frames.
        smoke: whether the run is for trying things out.
        request: the edit that the user asks for.

    Raises:
        UserError: the method cannot edit, a setting, an asset or a model is not there, or the fit trains on the frames
            that the edit is scored on.
    """
    if request.clip != ANY_CLIP:
        find_clip(request.clip)
    settings = dict(request.settings)
    if request.clip != ANY_CLIP:
        settings.setdefault(CLIP, request.clip)
    run = method.workspace.folder
    style = request.style
    if style.editor == "file":
        picture = Path(style.editor_settings["image"])
        if not picture.is_file():
            raise UserError(f"reference {picture} is not a file: give a picture with --reference")
    if is_told_in_words(style):
        style = told_apart(style, lambda name: _edit_folder(run, name, settings))
    workspace = dataclasses.replace(method.workspace, folder=_edit_folder(run, style.name, settings), settings=settings)
    edited = method.edit(style, workspace)
    applied = _editing_protocol(capture, split, train, smoke)
    applied.require_readable_captions(style, request.clip)
    return EditPlan(run, style, settings, applied, edited, request.clip)


def _edits_of(plan: Plan) -> tuple[tuple[EditPlan, ...], str]:
    """Return the plans of the run's edits, and why there is none if the run would make one by default."""
    made, reasons = [], []
    for wanted in plan.request.edits:
        edit, no_edit = _edit_of(plan, wanted)
        made += [] if edit is None else [edit]
        reasons += [no_edit] if no_edit else []
    require_distinct([edit.style for edit in made])
    return tuple(made), "; ".join(reasons)


def _edit_of(plan: Plan, wanted: EditRequest) -> tuple[EditPlan | None, str]:
    """Return the plan of an edit, and why there is none if the run would make it by default."""
    # The fit has no score that uses CLIP, so the CLIP model was given for the edit.
    required = wanted.asked_for or (plan.request.clip != ANY_CLIP and not plan.applied.has_clip_scores)
    if not plan.applied.renders_own_frames:
        if required:
            raise UserError(f"protocol {plan.applied.protocol.name} scores no edit: leave the edit out")
        return None, ""
    if not required and "edit" not in plan.cls.info.capabilities:
        return None, ""
    if required and plan.cls.edit is Method.edit:
        options = wanted.options or (f"--set {CLIP}={plan.request.clip}",)
        raise UserError(f"method {plan.cls.info.name} cannot edit what it fitted: leave out {' and '.join(options)}")
    try:
        wanted = dataclasses.replace(wanted, clip=plan.request.clip)
        capture, split = plan.applied.capture, plan.applied.split
        edit = plan_edit(plan.method, capture, split.name, split.train, smoke=plan.is_smoke, request=wanted)
    except UserError as error:
        if required:
            raise
        return None, str(error)
    return edit, ""


def _applied_protocol_of(request: RunRequest, profile: str, *, edits_clip: bool) -> AppliedProtocol:
    mini, full = (MINI_EDIT_PROTOCOL, EDIT_PROTOCOL) if edits_clip else (MINI_PROTOCOL, DEFAULT_PROTOCOL)
    if request.driver is not None and not edits_clip:
        mini, full = MINI_CROSS_PROTOCOL, CROSS_PROTOCOL
    protocol = protocols.load_protocol(request.protocol or (mini if profile == SMOKE_PROFILE else full))
    if edits_clip and protocol.task != EDITING:
        raise UserError(
            f"method {request.method} edits recorded videos, and protocol {protocol.name} scores no edit: leave out "
            "--protocol"
        )
    applied = apply_protocol(protocol, actors.load(request.actor), request.split, request.driver)
    # A video editor reads no other frames than those of the clip.
    return _as_clip(applied, train=()) if edits_clip else applied


def _editing_protocol(capture: Capture, split_name: str, train: tuple[int, ...], smoke: bool) -> AppliedProtocol:
    """Return the clip to edit, which the fit does not use, with the training frames of the fit."""
    protocol = protocols.load_protocol(MINI_EDIT_PROTOCOL if smoke else EDIT_PROTOCOL)
    applied = apply_protocol(protocol, capture)
    if set(applied.split.test) & set(train):
        raise UserError(
            f"protocol {protocol.name} edits the end of the video, which split {split_name} trains on: "
            "run with --split tail-500, or with --skip-edit"
        )
    return _as_clip(applied, train)


def _as_clip(applied: AppliedProtocol, train: tuple[int, ...]) -> AppliedProtocol:
    """Return the clip that is edited, with the frames that the method is fitted on."""
    clip, fps = applied.split, applied.capture.fps
    flags = list(clip.flags)
    if round(fps) != 25:
        flags.append(f"the clip has {fps:g} frames a second, not 25")
    split = dataclasses.replace(clip, train=train, unused=(), guard=(), flags=tuple(flags))
    return dataclasses.replace(applied, split=split)


def _edit_folder(run: Path, style: str, settings: Mapping[str, str]) -> Path:
    variant = variant_name(settings)
    return run / EDITS / (f"{style}+{variant}" if variant else style)


def _remedy_of_smoke(protocol: protocols.Protocol) -> str:
    """Return what to type so that profile smoke gets the mini protocol beside this one."""
    mini = f"{protocol.name}-mini"
    known = mini != MINI_PROTOCOL and todays_version(mini) is not None
    return f"give --protocol {mini}" if known else "leave out --protocol"


def _is_smoke(profile: str, protocol: protocols.Protocol) -> bool:
    return profile == SMOKE_PROFILE or protocol.mini


def _run_folder(request: RunRequest, method: str, profile: str, applied: AppliedProtocol, style: str | None) -> Path:
    """Return the folder of a run whose frames show the edit ``style``; None for a fit."""
    protocol, split = applied.protocol, applied.split
    place = RunPlace(
        protocol=protocol.name,
        split=None if split.name == protocol.default_split else split.name,
        actor=request.actor,
        driver=request.driver,
        method=method,
        settings={**request.settings, **({"style": style} if style else {})},
        profile=profile,
        seed=request.seed,
    )
    return place.folder(request.runs_dir)
