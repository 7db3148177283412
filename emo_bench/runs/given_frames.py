"""Frames that other tools made: check them against the split, file them as a run, and score it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

import protocols
from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.clip.model import find_clip
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import GIVEN_PROFILE, LEAST_PX, NAME, NAME_RULE, EditStyle, Method, MethodInfo
from emo_bench.runs import runner
from emo_bench.runs.applied_protocol import apply_protocol
from emo_bench.runs.plan import EDITING, RunRequest
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.runs.style_names import name_of
from emo_bench.video.lossless import FrameDigest
from emo_bench.video.numbered_frames import NumberedFrames, open_numbered
from protocols.loader import DEFAULT_PROTOCOL


@dataclass(frozen=True)
class GivenRequest:
    """A request to file frames as a run.

    Attributes:
        frames: a folder of pictures or a video, with one frame for each held-out frame.
        name: the name of the method that made them; lower case, digits, dash, underscore.
        actor, protocol, split: as in ``RunRequest``.
        source_caption, target_caption: what the frames show before and after an edit; both or none.
        device: the device of the metrics.
        clip: the CLIP model of an edit's CLIP scores; "auto" is the first one on this machine.
    """

    frames: Path
    name: str
    actor: str
    protocol: str | None = None
    split: str | None = None
    source_caption: str | None = None
    target_caption: str | None = None
    runs_dir: Path = Path("runs")
    device: str | None = None
    clip: str = ANY_CLIP


def file_frames(request: GivenRequest, *, trivial: bool = True) -> runner.MadeRuns:
    """File the frames as a run, and make the runs of the trivial methods beside it.

    Args:
        request: the frames and how to file them.
        trivial: also make the runs of the trivial methods; an edit has none.

    Raises:
        UserError: the name is taken, the captions or the CLIP model do not fit the protocol, a model is not here, or
            the frames do not fit the split or are smaller than ``LEAST_PX``.
    """
    if not NAME.fullmatch(request.name):
        raise UserError(f"{request.name!r} cannot name a method: {NAME_RULE}")
    if request.name in methods.known_methods():
        raise UserError(f"{request.name} is the name of a method of this toolkit: give the frames another --name")
    protocol = protocols.load_protocol(request.protocol or DEFAULT_PROTOCOL)
    if protocol.driving is not None:
        raise UserError(
            f"protocol {protocol.name} drives avatars by other actors, and frames made elsewhere cannot be filed under "
            "it: give --protocol self_reenactment, or make a method of the tool (docs/add-a-command.md)"
        )
    if protocol.views is not None:
        raise UserError(
            f"protocol {protocol.name} has other views than the recorded one, and frames made elsewhere cannot be "
            "filed under it: give --protocol self_reenactment, or make a method of the tool (docs/add-a-command.md)"
        )
    style = _style(request, protocol)
    applied = apply_protocol(protocol, actors.load(request.actor), request.split)
    if request.clip != ANY_CLIP:
        applied.require_clip_scores()
        find_clip(request.clip)
    cls = _class(request.name, open_numbered(request.frames, applied.split.test))
    run = RunRequest(
        request.name,
        request.actor,
        request.protocol,
        request.split,
        runs_dir=request.runs_dir,
        device=request.device,
        clip=request.clip,
    )
    return runner.make_runs(run, trivial=trivial and style is None, applied=applied, cls=cls, style=style)


def _style(request: GivenRequest, protocol: protocols.Protocol) -> EditStyle | None:
    """Return the edit that the frames show; None for a reenactment."""
    before, after = request.source_caption, request.target_caption
    if (before is None) != (after is None):
        raise UserError("an edit has two captions: give --source-prompt and --prompt")
    if protocol.task == EDITING and (before is None or after is None):
        raise UserError(f"protocol {protocol.name} scores an edit: give --source-prompt and --prompt")
    if before is None or after is None:
        return None
    if protocol.task != EDITING:
        raise UserError(f"protocol {protocol.name} scores no edit: leave the prompts out, or --protocol editing")
    described = EditStyle("", before, after, after, "given")
    return dataclasses.replace(described, name=name_of(after, described, longest=40))


def _class(name: str, frames: NumberedFrames) -> type[Method]:
    """Return a method class that renders these frames; it reads them once, so that damaged frames are found at once."""
    digest, size_px = FrameDigest(), 0
    for frame in frames.read():
        digest.add(frame)
        size_px = len(frame)
        if size_px < LEAST_PX:
            raise UserError(f"{frames.source.title} is of {size_px}x{size_px} px; metrics need {LEAST_PX} px or more")
    info = MethodInfo(
        name=name,
        title=name,
        paper="",
        licence="",
        capabilities=frozenset({"render"}),
        requirements=(),
        fidelity="frames made elsewhere; how is not known here",
    )
    fields = {"info": info, "given": frames, "resolution_px": size_px, "sha256": digest.hexdigest()}
    return type("FiledFrames", (GivenFrames,), fields)


class GivenFrames(Method):
    """A method that returns frames made by another tool. :func:`file_frames` makes its subclasses."""

    given: ClassVar[NumberedFrames]
    sha256: ClassVar[str]

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return the only profile; its name says that the frames were given."""
        return (GIVEN_PROFILE,)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Do nothing: there is nothing to fit."""

    def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the frames; ValueError if ``indices`` are not those that the frames were checked against."""
        if tuple(indices) != self.given.indices:
            raise ValueError("these frames were checked against another split")
        yield from self.given.read(self.resolution_px)

    def describe(self) -> dict[str, object]:
        """Return the SHA-256 of the frames, so that other frames make another run, and notes as flags."""
        return {"config": {"frames_sha256": self.sha256}, "flags": list(self.given.source.notes)}
