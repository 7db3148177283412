"""Render the truth clips that ship with the toolkit: ``python -m factory.studio.truth [--out DIR]``.

They show the bundled actors in poses that were never filmed: driven by another actor, as the protocols of
cross-reenactment drive an avatar, and seen by the cameras of protocol ``novel_view``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench import actors
from emo_bench.actors import Track
from emo_bench.progress import track_progress
from emo_bench.runs.transfer import driven_capture
from emo_bench.runs.truth_clip import truth_file
from emo_bench.runs.views import FILMED_VIEW, Standpoint, cameras_of
from emo_bench.system.endings import exit_code
from emo_bench.video.writing import VideoWriter
from factory.studio.actors import ACTORS, ENCODING, SIZE_PX, film
from factory.studio.raytrace import View
from factory.studio.scene import Person, Pose
from protocols import load_protocol, view_split
from protocols.frame_lists import format_frames, parse_frames

DRIVEN = ("cross_reenactment", "cross_reenactment-mini")
VIEWED = ("novel_view", "novel_view-mini")


def pose_of(track: Track, i: int) -> Pose:
    """Return the studio's pose of a frame of a track."""
    return Pose(
        track.expression[i], track.body_rotvec[i], track.body_translation[i], track.neck_rotvec[i], track.head_rotvec[i]
    )


@lru_cache(maxsize=len(ACTORS))
def _person(name: str) -> Person:
    return Person(ACTORS[name])


def pictures(subject: str, track: Track, frames: Iterator[tuple[int, Standpoint]]) -> Iterator[np.ndarray]:
    """Render a bundled actor in frames of a track, each with the camera that sees it: uint8 ``[S, S, 3]``."""
    person = _person(subject)
    wall = person.spec.background.paint(SIZE_PX)
    for i, camera in frames:
        yield film(person, pose_of(track, i), wall, View(camera.turn.T, camera.place))[0]


def render_pair(subject: str, driver: str, path: Path, frames: tuple[int, ...] = ()) -> None:
    """Render an actor driven by another one, in the frames of the driver that the protocols list."""
    own, other = actors.load(subject), actors.load(driver)
    driving = [protocol.driving for name in DRIVEN if (protocol := load_protocol(name)).driving is not None]
    (transfer,) = {one.transfer for one in driving if one is not None}
    listed = [one.pair(subject, driver) for one in driving if one is not None]
    frames = frames or tuple(sorted({frame for pair in listed if pair for frame in parse_frames(pair.frames)}))
    track = driven_capture(own, other, transfer).track
    about = {
        "subject": {"name": subject, "sha256": own.sha256},
        "driver": {"name": driver, "sha256": other.sha256},
        "transfer": transfer,
        "frames": format_frames(frames),
    }
    shown = ((i, FILMED_VIEW) for i in frames)
    _write(path, pictures(subject, track, shown), len(frames), own.fps, about)


def render_views(subject: str, path: Path) -> None:
    """Render an actor in the held-out frames that the protocols of novel views list, as each camera sees them."""
    capture = actors.load(subject)
    numbers: set[int] = set()
    for name in VIEWED:
        protocol = load_protocol(name)
        numbers.update(view_split(protocol, len(capture), capture.valid_indices).test)
    views = load_protocol(VIEWED[0]).views
    assert views is not None
    cameras = cameras_of(capture.track, views)
    ordered = sorted(numbers)
    about = {
        "subject": {"name": subject, "sha256": capture.sha256},
        "cameras": [camera.model_dump() for camera in views.cameras],
        "frames": format_frames(ordered),
    }
    shown = ((number % len(capture), cameras[number // len(capture)]) for number in ordered)
    _write(path, pictures(subject, capture.track, shown), len(ordered), capture.fps, about)


def _write(path: Path, shown: Iterator[np.ndarray], count: int, fps: float, about: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, separators=(",", ":"))
    with track_progress(count, f"studio: {path.stem}") as advance, VideoWriter(path, ENCODING, fps, text) as writer:
        for picture in shown:
            writer.write(picture)
            advance()
    print(f"{path}  {path.stat().st_size} bytes  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}", flush=True)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m factory.studio.truth", description=__doc__)
    parser.add_argument("--out", type=Path, default=truth_file("").parent)
    parser.add_argument("--clips", default="", help="names such as 1-by-2 and 1-views, with commas; default: all")
    parser.add_argument("--frames", default="", help="frames of the driver instead of those that the protocols list")
    given = parser.parse_args()
    return exit_code(lambda: _render_all(given.clips, given.out, given.frames))


def _render_all(clips: str, out: Path, frames: str) -> None:
    driving, views = load_protocol(DRIVEN[0]).driving, load_protocol(VIEWED[0]).views
    assert driving is not None and views is not None
    known = [f"{pair.subject}-by-{pair.driver}" for pair in driving.pairs]
    known += [f"{name}-views" for name in ACTORS]
    for name in clips.split(",") if clips else known:
        path = out / truth_file(name).name
        if name.endswith("-views"):
            render_views(name.removesuffix("-views"), path)
        else:
            subject, driver = name.split("-by-")
            render_pair(subject, driver, path, parse_frames(frames) if frames else ())


if __name__ == "__main__":
    sys.exit(main())
