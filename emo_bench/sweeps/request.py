"""What a sweep is asked to make: the combinations of methods, actors, protocols, styles, seeds and settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emo_bench import actors
from emo_bench.actors.names import check_name
from emo_bench.errors import SettingError, UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import is_video_editor
from emo_bench.methods.interface import Method
from emo_bench.runs.pair_requests import requests_of_pairs
from emo_bench.runs.plan import EDITING, EditRequest, RunRequest
from emo_bench.runs.settings import EDIT_PREFIX, sorted_settings
from emo_bench.runs.styles import named_style
from emo_bench.video.reading import VideoInfo, probe_video
from protocols import load_protocol
from protocols.loader import CROSS_REENACTMENT
from protocols.sweeps import Grid


@dataclass(frozen=True)
class SweepRequest:
    """A sweep that the user asks for.

    Attributes:
        grids: the runs.
        runs_dir: the folder that keeps the runs.
        device: ``cpu`` or ``cuda``; None is a GPU if there is one.
        trivial: also make the runs of the trivial methods.
        videos: the videos of actors, by name; an actor that is not in the library yet is made from its video.
        cache: folder in which variants of a method share the results of stages; None shares none.
    """

    grids: tuple[Grid, ...]
    runs_dir: Path = Path("runs")
    device: str | None = None
    trivial: bool = True
    videos: Mapping[str, Path] = field(default_factory=dict)
    cache: Path | None = None


@dataclass(frozen=True)
class Combination:
    """A run and its edits, or for a video editor an edit of the recorded clip for each of ``edits``."""

    cls: type[Method]
    request: RunRequest
    edits: tuple[EditRequest, ...]


class Names:
    """The things that a sweep names, each looked up once.

    Attributes:
        untracked: the videos of the actors that are not in the library yet, by the name of the actor.
        missing: why a method cannot be loaded on this machine, by name.

    Raises:
        UserError: there is no such method, actor, protocol, style or video, or a setting of edits without a style.
    """

    def __init__(self, request: SweepRequest) -> None:
        self._request = request
        grids = request.grids
        for grid in grids:
            _require_edits(grid)
        self._styles = {name: named_style(name) for grid in grids for name in grid.styles}
        self._tasks = {name: load_protocol(name).task for grid in grids for name in grid.protocols}
        self._classes: dict[str, type[Method]] = {}
        self.missing: dict[str, str] = {}
        for name in dict.fromkeys(name for grid in grids for name in grid.methods):
            self._load_method(name)
        self.actors = list(dict.fromkeys(name for grid in grids for name in grid.actors))
        self.untracked = {name: self._video(name) for name in self.actors if not _is_tracked(name, request.videos)}

    def combinations(self, grid: Grid, actor: str) -> Iterator[Combination]:
        """Yield the runs of a grid on one actor."""
        variants = [sorted_settings(given) for given in grid.variants()]
        cache = self._request.cache if len(variants) > 1 else None
        for method in grid.methods:
            cls = self._classes.get(method)
            if cls is None:
                continue
            for protocol, seed, chosen in itertools.product(self._protocols(grid, cls), grid.seeds, variants):
                request = RunRequest(
                    method, actor, protocol, grid.split, grid.profile, seed, chosen.method,
                    self._request.runs_dir, self._request.device, cache, chosen.clip,
                )  # fmt: skip
                styles = [self._styles[name] for name in grid.styles]
                edits = (EditRequest(style, chosen.edit, clip=chosen.clip, options=("--style",)) for style in styles)
                if self._tasks.get(protocol or "") == CROSS_REENACTMENT:
                    # Edits are made of the fits of other protocols.
                    yield from (Combination(cls, one, ()) for one in requests_of_pairs(request))
                    continue
                yield Combination(cls, request, tuple(edits))

    def _protocols(self, grid: Grid, cls: type[Method]) -> list[str | None]:
        """Return the protocols of the grid that score what the method makes; the default one if there is none."""
        scores_edits = is_video_editor(cls)
        return [name for name in grid.protocols if (self._tasks[name] == EDITING) == scores_edits] or [None]

    def _load_method(self, name: str) -> None:
        try:
            self._classes[name] = methods.method_class(name)
        except UserError as error:
            if name not in methods.known_methods():
                raise
            self.missing[name] = str(error)

    def _video(self, actor: str) -> VideoInfo:
        check_name(actor)
        video = self._request.videos[actor]
        if not video.is_file():
            raise UserError(f"{video} is not a file: give the video of actor {actor} by --video {actor}=FILE")
        return probe_video(video)


def _require_edits(grid: Grid) -> None:
    """Refuse a setting of edits in a grid that makes none: nobody would see that it did nothing."""
    given = [key for key in grid.settings if key.startswith(EDIT_PREFIX)]
    if given and not grid.styles:
        raise SettingError(f"--set {given[0]}: no edit is made without a style: name a style, or leave the setting out")


def _is_tracked(actor: str, videos: Mapping[str, Path]) -> bool:
    """Return whether an actor is in the library; UserError if it is not, and has no video."""
    try:
        actors.load(actor)
    except UserError:
        if actor not in videos:
            raise
        return False
    return True
