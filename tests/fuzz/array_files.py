"""A capture's files: ``track.npz``, ``capture.json``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.container_changes import changed_npy, changed_zip
from tests.fuzz.reader import Place, Reader
from tests.fuzz.value_changes import changed_json

FRAMES = 6


def track_file(folder: Path) -> Sequence[bytes]:
    """A short track, as ``actors add`` writes it."""
    from tests.conftest import write_actor

    write_actor(folder, FRAMES, (2,))
    return [(folder / "track.npz").read_bytes()]


def open_track(prepared: Path, scratch: Path) -> Place:
    """Load a track and look at all that it holds."""
    from emo_bench.actors.track import Track

    file = scratch / "track.npz"

    def look() -> None:
        track = Track.load(file)
        assert len(track.valid_indices) <= len(track)
        _ = track.landmarks68, track.head_pose, track.yaw_pitch_deg()
        for i in track.valid_indices[:1]:
            track.uv(int(i), 16)
            track.foreground(int(i), 16)

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return (look,)

    return place


def capture_file(folder: Path) -> Sequence[bytes]:
    """What is said of an actor of the user's."""
    from tests.conftest import write_actor

    write_actor(folder, FRAMES, (2,))
    return [(folder / "capture.json").read_bytes()]


def open_capture(prepared: Path, scratch: Path) -> Place:
    """List the actors, open the one that is described, read two of its frames."""
    from emo_bench.actors import library

    os.environ["EMO_BENCH_HOME"] = str(scratch)
    folder = scratch / "captures" / "dot"
    shutil.copytree(prepared, folder)

    def read() -> None:
        capture = library.load("dot")
        json.dumps([capture.fps, capture.size_px, capture.source], allow_nan=False)
        list(capture.frames([0, FRAMES - 1]))

    def place(content: bytes) -> Sequence[Any]:
        (folder / "capture.json").write_bytes(content)
        return library.list_actors, read

    return place


TRACK_MODULES = ("torch", "cv2", "emo_bench.actors.track", "emo_bench.tracking.uv")
READERS = (
    Reader("track", TRACK_MODULES, track_file, changed_zip(changed_npy), open_track),
    Reader("capture", (*TRACK_MODULES, "av", "emo_bench.actors.capture", "emo_bench.actors.library"), capture_file,
        changed_json, open_capture),
)  # fmt: skip
