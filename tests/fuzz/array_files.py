"""Arrays: of other trackers (``.npy``, ``.frame``), of a capture (``track.npz``, ``capture.json``)."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.container_changes import changed_npy, changed_pickle, changed_zip, mixed
from tests.fuzz.reader import Place, Reader
from tests.fuzz.value_changes import changed_json

FRAMES = 6
# Expression, identity, ... as the trackers write them.
V3, V4, TDDFA = 490, 621, 62


def _saved(save: Callable[[Any], None]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def arrays(folder: Path) -> Sequence[bytes]:
    """A frame of each tracker."""
    import torch

    rng = np.random.default_rng(0)
    v3, v4 = (rng.normal(size=(1, width)).astype(np.float32) for width in (V3, V4))
    several = rng.normal(size=(3, TDDFA)).astype(np.float32)
    results: Any = {"coeffs": v4, "bbox_list": [1, 2, 3]}
    tracked = {
        "flame": {"exp": np.ones((1, 100), np.float32), "shape": np.zeros((1, 300), np.float32)},
        "opencv": {"R": np.eye(3, dtype=np.float32)[None], "t": np.ones((1, 3), np.float32), "K": np.eye(3, dtype=np.float32)[None]},
        "img_size": np.array([512, 512]),
        "frame_id": "00000",
    }  # fmt: skip
    return [
        _saved(lambda file: np.save(file, v3)),
        _saved(lambda file: np.save(file, several.astype(np.float64))),
        _saved(lambda file: np.save(file, results)),
        _saved(lambda file: torch.save(tracked, file)),
    ]


def open_array(prepared: Path, scratch: Path) -> Place:
    """The same file as each tracker's."""
    from emo_bench.importers import import_track

    file, frame = scratch / "000001.npy", scratch / "checkpoint" / "00001.frame"
    frame.parent.mkdir()

    def place(content: bytes) -> Sequence[Any]:
        for path in (file, frame):
            path.write_bytes(content)
        folders = (("faceverse-v3", scratch), ("faceverse-v4", scratch), ("3ddfa-v2", scratch), ("3ddfa-v2", file), ("metrical-tracker", scratch))  # fmt: skip
        return [lambda kind=kind, where=where: import_track(kind, where).to_npz() for kind, where in folders]

    return place


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
    Reader("npy", ("torch", "emo_bench.importers.faceverse", "emo_bench.importers.metrical", "emo_bench.importers.tddfa"), arrays,
           mixed(changed_npy, changed_npy, changed_zip(changed_pickle)), open_array),
    Reader("track", TRACK_MODULES, track_file, changed_zip(changed_npy), open_track),
    Reader("capture", (*TRACK_MODULES, "av", "emo_bench.actors.capture", "emo_bench.actors.library"), capture_file, changed_json, open_capture),
)  # fmt: skip
