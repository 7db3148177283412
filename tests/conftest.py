"""A small actor made on the spot, as `actors add` would store it: real video, real track, no tracker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import emo_bench  # noqa: F401 - before a test loads torch, see emo_bench.system.threads

# Two test processes on two cores must not start four threads each.
os.environ.setdefault("OMP_NUM_THREADS", "2")
# A shell's background job ignores these two, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")

ACTOR_FRAMES, ACTOR_PX, ACTOR_FPS = 150, 64, 25
FACELESS = (7, 8, 120)
QUICK_PROTOCOL = """
name = "quick"
version = 1
title = "A quick one"
source = "the tests"
task = "self-reenactment"
mini = true
default_split = "tail-12"
minimum_frames = 40
short_below_frames = 60
short_share = 0.2
[splits.tail-12]
kind = "tail"
held_out_frames = 12
guard_frames = 3
train_frames_at_most = 30
[splits.random-12]
kind = "random"
held_out_frames = 12
guard_frames = 0
seed = 1
[scoring]
metrics = ["psnr", "ssim", "sd"]
reference_resize = "area"
region = "full frame"
background = "as filmed"
"""


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Real videos, goldens and the paper beside the checkout, or where EMO_BENCH_SHARED says; skips without them."""
    folder = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder


@pytest.fixture(scope="session")
def actor_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one actor, `dot`: a disc that moves as the head turns, on a still ground."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "captures" / "dot"
    folder.mkdir(parents=True)
    write_actor(folder)
    return home


@pytest.fixture(scope="session")
def quick_protocol_text() -> str:
    """A mini protocol whose metrics need no network: 12 held-out frames at the end, at most 30 to train on."""
    return QUICK_PROTOCOL


@pytest.fixture
def protocol_file(tmp_path: Path, quick_protocol_text: str) -> str:
    """The quick protocol as a file."""
    file = tmp_path / "quick.toml"
    file.write_text(quick_protocol_text)
    return str(file)


@pytest.fixture
def actor(actor_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the actor, with `EMO_BENCH_HOME` set so that it is found."""
    monkeypatch.setenv("EMO_BENCH_HOME", str(actor_home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")
    return "dot"


def write_actor(
    folder: Path, frames: int = ACTOR_FRAMES, faceless: tuple[int, ...] = FACELESS, speed: float = 0.21
) -> None:
    """Write video.mp4, track.npz and capture.json of a moving disc whose place follows the head's yaw.

    ``speed`` is that of the motion, in radians of its phase a frame.
    """
    import av

    yaw = 0.5 * np.sin(np.arange(frames) * speed)
    with av.open(str(folder / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=ACTOR_FPS, options={"crf": "8"})
        stream.width = stream.height = ACTOR_PX
        stream.pix_fmt = "yuv420p"
        for angle in yaw:
            frame = av.VideoFrame.from_ndarray(disc_frame(float(angle)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _track(yaw, faceless).save(folder / "track.npz")
    info = {"source": "video", "frames": frames, "fps": ACTOR_FPS, "size_px": ACTOR_PX}
    (folder / "capture.json").write_text(json.dumps(info))


def disc_frame(yaw_rad: float) -> np.ndarray:
    """`[64, 64, 3]` uint8: a bright disc at a place given by the yaw."""
    rows, columns = np.mgrid[:ACTOR_PX, :ACTOR_PX]
    inside = np.hypot(columns - 32 - 30 * yaw_rad, rows - 32) < 12
    ground = np.stack([rows * 2, columns * 2, np.full_like(rows, 90)], axis=-1)
    return np.where(inside[..., None], (230, 170, 150), ground).astype(np.uint8)


def _track(yaw: np.ndarray, faceless: tuple[int, ...]):  # type: ignore[no-untyped-def]
    from emo_bench.actors.track import Track, pack_foreground
    from emo_bench.tracking.head_rig import Head, load_head_rig

    rig = load_head_rig()
    count = len(yaw)
    found = np.ones(count, dtype=bool)
    found[list(faceless)] = False
    poses = {name: np.zeros((count, 3), dtype=np.float32) for name in ("body_rotvec", "neck_rotvec")}
    head_rotvec = np.zeros((count, 3), dtype=np.float32)
    head_rotvec[:, 1] = yaw
    translation = np.tile(np.float32([0.0, 0.0, 0.8]), (count, 1))
    expression = np.tile((0.5 + 0.5 * np.cos(np.arange(count) * 0.4))[:, None], (1, 52)).astype(np.float32)
    landmarks = np.tile(np.float32([32, 32]), (count, 478, 1))
    landmarks[..., 0] += (30 * yaw)[:, None]
    for array in (*poses.values(), head_rotvec, translation, expression, landmarks):
        array[~found] = np.nan
    return Track(
        head=Head(rig.identity_mean, rig.joints_mean),
        expression=expression,
        **poses,
        body_translation=translation,
        head_rotvec=head_rotvec,
        torso_shift=np.zeros((count, 3), dtype=np.float32),
        focal_px=100.0,
        center_px=(ACTOR_PX / 2, ACTOR_PX / 2),
        size_px=ACTOR_PX,
        landmarks478=landmarks,
        face_found=found,
        foreground_bits=pack_foreground(np.ones((count, 16, 16), dtype=bool)),
        foreground_px=16,
    )
