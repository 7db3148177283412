"""The library of actors: the bundled ones and those that the user added under ``EMO_BENCH_HOME``."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emo_bench import paths
from emo_bench.actors.names import check_name, is_name, same_name
from emo_bench.errors import UserError

if TYPE_CHECKING:
    from emo_bench.actors.capture import Capture

BUNDLED = Path(__file__).parent / "data"
VIDEO_FILE, TRACK_FILE, INFO_FILE = "video.mp4", "track.npz", "capture.json"

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class ActorInfo:
    """One line of the list of actors."""

    name: str
    source: Literal["studio", "video"]
    bundled: bool
    frames: int
    fps: float
    size_px: int
    folder: Path


def captures_folder() -> Path:
    """Return the folder of the user's captures; it may not exist yet."""
    return paths.home() / "captures"


def list_actors() -> list[ActorInfo]:
    """Return all actors by name; a user's actor hides a bundled one of the same name.

    An actor whose files are damaged is left out, with a warning in the log.
    """
    found = {name: _bundled_info(name) for name in _bundled_names()}
    folder = captures_folder()
    if folder.is_dir():
        for info in sorted(folder.glob(f"*/{INFO_FILE}")):
            name = unicodedata.normalize("NFC", info.parent.name)
            if not is_name(name):
                continue
            try:
                found[name] = _user_info(info.parent, name)
            except UserError as error:
                log.warning("actor %s is left out: %s", name, error)
    return [found[name] for name in sorted(found)]


def load(name: str) -> Capture:
    """Open a capture; frames are decoded only on request.

    Raises:
        UserError: there is no such actor.
    """
    from emo_bench.actors.capture import Capture

    name = check_name(str(name))
    folder = find_folder(name)
    if folder is not None and (folder / INFO_FILE).is_file():
        info, video, track = _user_info(folder, name), folder / VIDEO_FILE, folder / TRACK_FILE
    elif name in _bundled_names():
        info = _bundled_info(name)
        video, track = BUNDLED / f"actor-{name}.mp4", BUNDLED / f"actor-{name}.track.npz"
    else:
        known = ", ".join(actor.name for actor in list_actors()) or "none yet"
        raise UserError(f"there is no actor {name!r} (known: {known}); add one with: emo-bench actors add VIDEO")
    for path in (video, track):
        if not path.is_file():
            raise UserError(f"actor {name} is damaged: {path} is missing; add the video again")
    return Capture(info.name, video, track, info.fps, info.size_px, info.source)


def find_folder(name: str) -> Path | None:
    """Return the folder of a user's actor of exactly that name, or None.

    Names are compared with the listed ones, because a file system may open ``anna`` as ``Anna`` or store names
    decomposed.
    """
    try:
        entries = list(captures_folder().iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((entry for entry in entries if unicodedata.normalize("NFC", entry.name) == name), None)


def require_free(name: str, *, replace: bool) -> Path:
    """Return the folder for a new actor; it may exist only with ``replace``.

    Raises:
        UserError: there is an actor of that name, or of one that some file systems do not distinguish from it.
    """
    there = find_folder(name)
    if there is not None and not replace:
        raise UserError(f"actor {name} exists already: choose another --name, or remove {there}, or give --replace")
    if there is not None:
        return there
    near = next((info.name for info in list_actors() if info.name != name and same_name(info.name, name)), None)
    if near is not None:
        raise UserError(
            f"actor {near} exists already, and some file systems do not distinguish it from {name}: "
            "choose another --name"
        )
    return captures_folder() / name


def _bundled_names() -> list[str]:
    return sorted(path.stem.removeprefix("actor-") for path in BUNDLED.glob("actor-*.mp4"))


def _bundled_info(name: str) -> ActorInfo:
    from emo_bench.video.container import open_video

    with open_video(BUNDLED / f"actor-{name}.mp4") as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        return ActorInfo(name, "studio", True, stream.frames, float(stream.average_rate), stream.width, BUNDLED)


def _user_info(folder: Path, name: str) -> ActorInfo:
    from emo_bench.actors.capture_info import read_capture_info

    info = read_capture_info(folder / INFO_FILE)
    return ActorInfo(name, info.source, False, info.frames, info.fps, info.size_px, folder)
