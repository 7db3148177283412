"""The pipeline: split, fit, render, score; each stage once, each able to go on after an interruption."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import protocols
from emo_bench import actors, assets
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import GPU_PROFILE, PAPER_PROFILE, SMOKE_PROFILE, EditStyle, Method, Workspace
from emo_bench.methods.seeds import require_seed
from emo_bench.methods.watched import build_watched
from emo_bench.runs import stages
from emo_bench.runs.log import log_file
from emo_bench.runs.store import LOG, RunFolder, RunPlace, lock_folder
from emo_bench.runs.style_names import told_apart
from emo_bench.system.devices import chosen_device, on_gpu
from protocols.loader import DEFAULT_PROTOCOL

MINI_PROTOCOL = "self_reenactment-mini"
SMOKE_FLAG = "smoke profile: for trying things out, its numbers are not results"
MINI_FLAG = "mini protocol: for trying things out, its numbers are not results"

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class RunRequest:
    """What the user asks for; None leaves the choice to the machine, the profile and the protocol.

    ``cache`` is the folder in which the runs of one study share the results of stages; the result is the same.
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


@dataclass(frozen=True)
class _Plan:
    """A request with every choice made."""

    request: RunRequest
    cls: type[Method]
    capture: Capture
    protocol: protocols.Protocol
    split: protocols.Split
    profile: str
    device: str
    style: EditStyle | None = None
    clip: str = "auto"

    @property
    def folder(self) -> Path:
        return self.folder_of_style(self.style.name if self.style else None)

    def folder_of_style(self, style: str | None) -> Path:
        """The run's folder, if its edit had that name; None for a run that is no edit."""
        own_split = None if self.split.name == self.protocol.default_split else self.split.name
        place = RunPlace(
            protocol=self.protocol.name,
            split=own_split,
            actor=self.request.actor,
            method=self.cls.info.name,
            settings={**self.request.settings, **({"style": style} if style else {})},
            profile=self.profile,
            seed=self.request.seed,
        )
        return place.folder(self.request.runs_dir)

    def build(self) -> Method:
        """The method over the run's folder."""
        request = self.request
        workspace = Workspace(
            self.folder, self.profile, request.seed, self.device, request.settings, self.capture.size_px, request.cache
        )
        return build_watched(self.cls, workspace)


def run(
    request: RunRequest,
    *,
    trivial: bool = True,
    cls: type[Method] | None = None,
    style: EditStyle | None = None,
    clip: str = "auto",
    wait: bool = False,
) -> list[Path]:
    """Make a run, and those of the trivial methods beside it; what is finished is left as it is.

    Returns the folders, the asked-for run first. Held-out frames are out of the method's reach. ``cls`` is the class
    of a method that ``request.method`` does not lead to, ``style`` the edit that its frames show, ``clip`` the model of
    that edit's CLIP scores. Another process may be at work on the trivial methods: this one waits for it and uses
    them; on the asked-for run it is refused, unless ``wait`` is set.

    Raises:
        UserError: a name is wrong, the video is too short, or the folder holds another run.
    """
    plan = dataclasses.replace(_resolve(request, cls), clip=clip)
    if style is not None:
        plan = dataclasses.replace(plan, style=told_apart(style, plan.folder_of_style))
    resolution_px = _make(plan, wait=wait)
    folders = [plan.folder]
    for name in methods.TRIVIAL if trivial else ():
        if name != plan.cls.info.name:
            beside = _trivial_plan(plan, name, resolution_px)
            # Another method's command makes the same trivial methods, perhaps at this moment.
            _make(beside, wait=True)
            folders.append(beside.folder)
    return folders


def planned(request: RunRequest) -> tuple[Method, Capture, protocols.Split, bool]:
    """What :func:`run` would fit, over its folder, which need not be there; its capture and split; whether it is smoke.

    Raises:
        UserError: as :func:`run`.
    """
    plan = _resolve(request)
    return plan.build(), plan.capture, plan.split, _is_smoke(plan)


def default_profile(cls: type[Method], device: str) -> str:
    """``gpu`` with a GPU, ``cpu`` without one or where there is no ``gpu``; else the first that is not ``smoke``.

    Never ``paper`` where there is another: it wants weights that the installation does not bring, and days.
    """
    offered = methods.profiles_of(cls)
    wanted = (GPU_PROFILE, "cpu") if on_gpu(device) else ("cpu",)
    others = (profile for profile in offered if profile != SMOKE_PROFILE)
    return next((profile for profile in wanted if profile in offered), None) or next(others, offered[0])


def _say_what_paper_needs(plan: _Plan) -> None:
    """Where the GPU alone chose the profile, one line of the log on the one with the published sizes."""
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


def _resolve(request: RunRequest, cls: type[Method] | None = None) -> _Plan:
    cls = cls or methods.method_class(request.method)
    if request.method != cls.info.name and cls.info.name in methods.known_methods():
        raise UserError(f"{request.method} calls itself {cls.info.name!r}, which is another method's name")
    require_seed(request.seed)
    device = chosen_device(request.device)
    profile = request.profile or default_profile(cls, device)
    if profile not in methods.profiles_of(cls):
        raise UserError(
            f"method {cls.info.name} has no profile {profile!r}; its profiles: {', '.join(methods.profiles_of(cls))}"
        )
    # A wrong list is the method's fault on any machine, and is told before there is a folder.
    methods.assets_of(cls, profile)
    smoke = profile == SMOKE_PROFILE
    protocol = protocols.load_protocol(request.protocol or (MINI_PROTOCOL if smoke else DEFAULT_PROTOCOL))
    if smoke and not protocol.mini:
        raise UserError(f"profile smoke goes with a mini protocol, not {protocol.name}: leave out --protocol")
    capture = actors.load(request.actor)
    request = dataclasses.replace(request, actor=capture.name)
    split = protocols.split(protocol, len(capture), capture.valid_indices, request.split)
    return _Plan(request, cls, capture, protocol, split, profile, device)


def _trivial_plan(plan: _Plan, name: str, resolution_px: int) -> _Plan:
    """The same actor, protocol, split and resolution for a trivial method."""
    cls = methods.method_class(name)
    profile = plan.profile if plan.profile in methods.profiles_of(cls) else "cpu"
    request = dataclasses.replace(plan.request, method=name, profile=profile, settings={})
    beside = dataclasses.replace(plan, request=request, cls=cls, profile=profile)
    if beside.build().resolution_px == resolution_px:
        return beside
    sized = dataclasses.replace(request, settings={"resolution_px": str(resolution_px)})
    return dataclasses.replace(beside, request=sized)


def _make(plan: _Plan, *, wait: bool) -> int:
    """Do the stages that are left; returns the resolution of the frames.

    ``wait``: for another process that is at work on the same run, instead of a UserError.
    """
    method = plan.build()
    # What a method says of itself may be refused: before there is a folder.
    facts, identity = {**_facts(plan, method), **_place(plan.request.method)}, _identity(plan, method)
    with lock_folder(plan.folder, wait=wait), log_file(plan.folder / LOG):
        folder = RunFolder.open(plan.folder, identity, facts)
        _note_changes(folder, facts)
        name = f"{plan.cls.info.name} on actor {plan.request.actor}, {plan.protocol.name}, {plan.split.name}"
        log.info("%s, profile %s, seed %d: %s", name, plan.profile, plan.request.seed, plan.folder)
        _say_what_paper_needs(plan)
        for flag in folder.manifest["flags"]:
            log.info("note: %s", flag)
        job = stages.Job(
            folder, method, plan.capture, plan.protocol, plan.split, plan.device, style=plan.style, clip=plan.clip
        )
        stages.fit(job)
        stages.render(job)
        stages.score(job)
    return method.resolution_px


def _note_changes(folder: RunFolder, facts: Mapping[str, Any]) -> None:
    """Keep what may be mended or moved without making another run: what a method says of itself, where it lies."""
    said = {key: facts[key] for key in ("title", "method", "method_place") if key in facts}
    if any(folder.manifest.get(key) != value for key, value in said.items()):
        folder.note(**said)


def _place(method: str) -> dict[str, str]:
    """Where a method lies that is no registered one, for whoever opens the run later."""
    file = methods.method_file(method)
    if file is None:
        return {}
    named = "" if file.suffix == ".toml" else f":{method.rpartition(':')[2]}"
    return {"method_place": f"{file.resolve()}{named}"}


def _identity(plan: _Plan, method: Method) -> dict[str, Any]:
    """All that the frames of a run depend on, and that a reader would call another run if it changed."""
    described = method.describe()
    identity = {
        "protocol": {"name": plan.protocol.name, "version": plan.protocol.version, "hash": plan.protocol.hash()},
        "split": {"name": plan.split.name, "sha256": plan.split.digest()},
        "actor": {"name": plan.request.actor, "sha256": plan.capture.sha256},
        "method": plan.cls.info.name,
        "profile": plan.profile,
        "seed": plan.request.seed,
        "settings": dict(plan.request.settings),
        "resolution_px": method.resolution_px,
        "config": described.get("config", {}),
        "assets": described.get("assets", {}),
    }
    if plan.style is not None:
        identity["style"] = dataclasses.asdict(plan.style)
    file = methods.method_file(plan.request.method)
    if file is not None and file.suffix == ".py":
        identity["method_file_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return identity


def _facts(plan: _Plan, method: Method) -> dict[str, Any]:
    """What a reader of the manifest wants to know besides."""
    info = plan.cls.info
    flags = list(plan.split.flags)
    if plan.profile == SMOKE_PROFILE:
        flags.insert(0, SMOKE_FLAG)
    elif plan.protocol.mini:
        flags.insert(0, MINI_FLAG)
    if method.resolution_px > plan.capture.size_px:
        flags.append(f"reference frames are enlarged from {plan.capture.size_px} to {method.resolution_px} px")
    flags += [str(flag) for flag in method.describe().get("flags", [])]  # type: ignore[attr-defined]
    return {
        "title": info.title,
        "smoke": _is_smoke(plan),
        "flags": flags,
        "protocol_title": plan.protocol.title,
        "split": plan.split.as_dict(),
        "capture": {
            "source": plan.capture.source,
            "fps": plan.capture.fps,
            "frames": len(plan.capture),
            "size_px": plan.capture.size_px,
        },
        "method": {"paper": info.paper, "licence": info.licence, "fidelity": info.fidelity},
    }


def _is_smoke(plan: _Plan) -> bool:
    return plan.profile == SMOKE_PROFILE or plan.protocol.mini
