"""At which size an actor is stored: that of the video, the one asked for, and never an enlarged one without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from emo_bench.actors import load
from emo_bench.actors.add import add_video
from emo_bench.actors.add_report import AddReport
from emo_bench.actors.sheet import contact_sheet
from emo_bench.cli.app import app
from emo_bench.errors import UserError
from emo_bench.system import opencv as cv2
from emo_bench.video.writing import H264, write_video

FRAMES = range(100, 112)
ACTOR_PX = 256


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of its own; twelve frames are enough here, and the size does not depend on their number."""
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("emo_bench.actors.add.LEAST_FRAMES", len(FRAMES))
    return tmp_path / "home"


def filmed(path: Path, face_px: int, picture_px: int) -> Path:
    """Write a video in which actor 1 fills a square of ``face_px`` in the lower right corner of a grey picture."""
    frames = []
    for frame in load("1").frames(FRAMES):
        picture = np.full((picture_px, picture_px, 3), 120, dtype=np.uint8)
        how = cv2.INTER_AREA if face_px < ACTOR_PX else cv2.INTER_CUBIC
        picture[-face_px:, -face_px:] = cv2.resize(frame, (face_px, face_px), interpolation=how)
        frames.append(picture)
    write_video(path, frames, H264, 25)
    return path


def added(video: Path, **options: object) -> AddReport:
    return add_video(video, progress=False, **options)  # type: ignore[arg-type]


def sizes_told(report: AddReport) -> list[str]:
    return [note for note in report.notes if "px" in note]


def expected_landmarks(report: AddReport, face_px: int, picture_px: int) -> np.ndarray:
    """Return the studio's exact landmarks at the stored size, ``[T, 68, 2]``."""
    truth = load("1").track.landmarks68[list(FRAMES)] * (face_px / ACTOR_PX) + (picture_px - face_px)
    return report.crop.to_crop(truth, report.size_px)


@pytest.mark.parametrize(("face_px", "picture_px"), [(1024, 1024), (128, 160)])
def test_an_actor_has_the_size_of_the_video(tmp_path: Path, face_px: int, picture_px: int) -> None:
    report = added(filmed(tmp_path / "anna.mp4", face_px, picture_px))
    assert report.size_px == report.crop.side > 0.8 * face_px
    assert not sizes_told(report)
    actor = load("anna")
    frame = next(iter(actor.frames([5])))
    assert frame.shape == (report.size_px, report.size_px, 3) and actor.size_px == report.size_px
    truth = expected_landmarks(report, face_px, picture_px)
    off_px = np.linalg.norm(actor.track.landmarks68 - truth, axis=-1)
    eyes_px = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1).mean()
    assert off_px.mean() < 0.06 * eyes_px
    uv, mask = actor.track.uv(5, report.size_px)
    assert uv.shape == (*frame.shape[:2], 2) and mask[int(truth[5, 30, 1]), int(truth[5, 30, 0])]
    assert actor.track.foreground(5, report.size_px)[int(truth[5, 30, 1]), int(truth[5, 30, 0])]
    contact_sheet(actor, tmp_path / "anna.png")


def test_frames_of_the_video_are_stored_as_they_are(tmp_path: Path) -> None:
    """480 px became 384: a video that fills the square must come back without being resized."""
    video = filmed(tmp_path / "anna.mp4", 320, 320)
    report = added(video)
    stored = next(iter(load("anna").frames([5])))
    crop = report.crop
    before = cv2.resize(next(iter(load("1").frames([105]))), (320, 320), interpolation=cv2.INTER_CUBIC)
    off = stored.astype(float) - before[crop.top : crop.top + crop.side, crop.left : crop.left + crop.side]
    assert 10 * np.log10(255**2 / np.square(off).mean()) > 38.0


def test_another_size_is_made_and_an_enlarged_one_is_told(tmp_path: Path) -> None:
    video = filmed(tmp_path / "anna.mp4", 128, 160)
    given = CliRunner().invoke(app, ["actors", "add", str(video), "--size", "256"])
    assert given.exit_code == 0, given.output
    assert f"fill {load_crop(tmp_path)} px of the video and were enlarged to 256 px" in given.output
    assert next(iter(load("anna").frames([5]))).shape == (256, 256, 3)
    again = added(video, replace=True)
    (note,) = sizes_told(again)
    assert f"stored at 256 px and this one at {again.crop.side} px: --size 256 keeps" in note
    odd = added(video, size_px=97, replace=True)
    assert not sizes_told(odd)
    assert next(iter(load("anna").frames([11]))).shape == (97, 97, 3)


def load_crop(folder: Path) -> int:
    import json

    facts = json.loads((folder / "home" / "captures" / "anna" / "capture.json").read_text())
    return int(facts["crop"]["side"])


@pytest.mark.parametrize("size", [0, -1, 63, 1025, 10**9])
def test_an_impossible_size_is_refused_at_once(tmp_path: Path, size: int) -> None:
    with pytest.raises(UserError, match=f"at {size} px: give a --size from 64 to 1024"):
        add_video(tmp_path / "absent.mp4", size_px=size)
    assert not (tmp_path / "home").exists()
