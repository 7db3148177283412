"""The GPU of this machine, or a pretended one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emo_bench import actors
from emo_bench.actors.capture import Capture
from emo_bench.actors.track import Track
from emo_bench.tracking.head_rig import load_head_rig
from tests.conftest import write_actor
from tests.gpu.pretend import Pretence, pretended_gpu

REAL = torch.cuda.is_available()
FRAMES = 70


@pytest.fixture(scope="session")
def face_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one actor, `face`: the disc of the other tests with the landmarks of a face on the head."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "captures" / "face"
    folder.mkdir(parents=True)
    write_actor(folder, FRAMES, faceless=(7, 8))
    rig, track = load_head_rig(), Track.load(folder / "track.npz")
    marks = track.landmarks478.copy()
    for i in track.valid_indices:
        corners = track.vertices(int(i))[rig.faces[rig.landmark_faces]]
        points = np.einsum("nc,ncd->nd", rig.landmark_barycentric, corners)
        marks[i] = points[:, :2] / points[:, 2:] * track.focal_px + np.asarray(track.center_px)
    replace(track, landmarks478=marks).save(folder / "track.npz")
    return home


@pytest.fixture
def capture(face_home: Path, monkeypatch: pytest.MonkeyPatch) -> Capture:
    """The actor, found by its name too."""
    monkeypatch.setenv("EMO_BENCH_HOME", str(face_home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")
    return actors.load("face")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a user types to get a GPU."""
    if REAL:
        yield "cuda"
        return
    with pretended_gpu(monkeypatch):
        yield "cuda"


@pytest.fixture
def autocast_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As ``gpu``; a pretended one has no gradients and obeys the rules of autocast on CUDA."""
    if REAL:
        yield "cuda"
        return
    with pretended_gpu(monkeypatch, Pretence.AUTOCAST):
        yield "cuda"
