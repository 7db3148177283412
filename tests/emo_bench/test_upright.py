"""A video on its side: it is turned where its header does not say so, and one that stands upright is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emo_bench.actors import load
from emo_bench.actors.add import add_video
from emo_bench.actors.upright import quarter_turns, turned
from emo_bench.system import opencv as cv2
from emo_bench.tracking.landmarks import Landmarker
from emo_bench.video.reading import decode_video, probe_video
from emo_bench.video.writing import H264, write_video


@pytest.fixture(scope="module")
def landmarker() -> Iterator[Landmarker]:
    with Landmarker() as opened:
        yield opened


def leaning(frame: np.ndarray, clockwise_deg: float) -> np.ndarray:
    side = len(frame)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -clockwise_deg, 1.0)
    return np.asarray(cv2.warpAffine(frame, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE))


@pytest.mark.parametrize("actor", ["1", "2", "3", "4"])
def test_every_quarter_turn_is_undone(landmarker: Landmarker, actor: str) -> None:
    frames = list(load(actor).frames(range(60, 1500, 240)))
    for turns in range(4):
        lying = [turned(frame, turns) for frame in frames]
        faces = [landmarker.detect(frame) for frame in lying]
        assert (turns + quarter_turns(faces, lying, landmarker)) % 4 == 0


def test_a_leaning_head_and_a_video_without_a_face_are_left_alone(landmarker: Landmarker) -> None:
    frames = [leaning(frame, 30.0) for frame in load("2").frames(range(100, 1400, 320))]
    faces = [landmarker.detect(frame) for frame in frames]
    assert None not in faces
    assert quarter_turns(faces, frames, landmarker) == 0
    wall = [np.full((240, 320, 3), 90, dtype=np.uint8)] * 4
    assert quarter_turns([None] * 4, wall, landmarker) == 0
    assert quarter_turns([], [], landmarker) == 0


def test_an_actor_from_a_video_on_its_side_stands_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("emo_bench.actors.add.LEAST_FRAMES", 12)
    numbers = list(range(100, 112))
    upright = [np.pad(frame, ((0, 0), (40, 60), (0, 0))) for frame in load("1").frames(numbers)]
    video = tmp_path / "anna.mp4"
    write_video(video, [np.ascontiguousarray(np.rot90(frame, -1)) for frame in upright], H264, 25)
    report = add_video(video, progress=False)
    assert [note for note in report.notes if "on its side" in note and "turned by 90 degrees counterclockwise" in note]
    truth = load("1").track.landmarks68[numbers] + np.array((40, 0))
    found = load("anna").track.landmarks68
    off_px = np.linalg.norm(found - report.crop.to_crop(truth, report.size_px), axis=-1)
    assert off_px.mean() < 4.0
    stored = next(iter(load("anna").frames([5])))
    crop = report.crop
    expected = upright[5][crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    assert np.abs(stored.astype(float) - expected).mean() < 4.0


@pytest.mark.parametrize(("turns", "told"), [(1, "counterclockwise"), (2, "180 degrees"), (3, "by 90 degrees clock")])
def test_a_turned_video_gives_turned_frames(tmp_path: Path, turns: int, told: str) -> None:
    ramp = np.zeros((48, 64, 3), dtype=np.uint8)
    ramp[:24, :32] = 200
    video = tmp_path / "ramp.mp4"
    write_video(video, [ramp] * 5, H264, 25)
    info = probe_video(video).turned(turns)
    frame = next(iter(decode_video(info)))
    assert frame.shape == (info.height, info.width, 3)
    assert np.abs(frame.astype(float) - np.rot90(ramp, turns)).mean() < 3.0
    assert told in info.notes[-1]
