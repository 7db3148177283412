"""Other cameras: the track that they see, runs scored on their pictures, and who is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import emo_bench
from emo_bench import actors
from emo_bench.actors import Track
from emo_bench.actors.track import POSES
from emo_bench.errors import UserError
from emo_bench.runs import runner, truth_clip
from emo_bench.runs.finished import load_run
from emo_bench.runs.given_frames import GivenRequest, file_frames
from emo_bench.runs.plan import RunRequest, plan_run
from emo_bench.runs.transfer import landmarks_camera_m
from emo_bench.runs.truth_clip import open_truth
from emo_bench.runs.verification import Verification, verify
from emo_bench.runs.views import standpoint, viewed_track
from emo_bench.video.lossless import read_lossless
from emo_bench.video.writing import H264, VideoWriter
from protocols import Protocol, load_protocol
from protocols.splitting import parse_frames
from reports.figures.curves import tracked_motion
from reports.paper import paper_tables_for
from reports.ranking import group_rows
from reports.rows import Row
from tests.conftest import disc_frame

FRAMES = 150
VIEWS = """
[views]
frames = 4
[[views.cameras]]
name = "left"
yaw_deg = -30.0
pitch_deg = 0.0
[[views.cameras]]
name = "below"
yaw_deg = 0.0
pitch_deg = 15.0
[views.truth_sha256]
"dot" = "{sha256}"
"""
CAMERAS = [{"name": "left", "yaw_deg": -30.0, "pitch_deg": 0.0}, {"name": "below", "yaw_deg": 0.0, "pitch_deg": 15.0}]
SEEN = (138, 141, 144, 147)
NUMBERS = (*SEEN, *(FRAMES + i for i in SEEN))


def part_of(track: Track, rows: slice) -> Track:
    names = ("expression", "landmarks478", "face_found", "foreground_bits", "torso_shift", *POSES)
    return dataclasses.replace(track, **{name: getattr(track, name)[rows] for name in names})


def test_a_camera_sees_the_head_turned_by_its_angles_at_the_same_place() -> None:
    track = part_of(actors.load("1").track, slice(0, 1000, 100))
    for yaw, pitch in ((30.0, 0.0), (-30.0, 0.0), (0.0, 15.0)):
        seen = viewed_track(track, [standpoint(track, yaw, pitch)])
        gap = seen.yaw_pitch_deg() - track.yaw_pitch_deg()
        # Yaw comes first and pitch second: a turn about the upright axis adds to the yaw of any head.
        np.testing.assert_allclose(gap[:, 0], yaw, atol=4.5 if pitch else 1e-3)
        np.testing.assert_allclose(gap[:, 1], pitch, atol=5.0 if pitch else 1e-3)
        middle = [one.head_pose[:, :3, 3].mean(axis=0) for one in (seen, track)]
        np.testing.assert_allclose(middle[0], middle[1], atol=1e-4)


def test_a_point_is_where_a_camera_that_stands_elsewhere_sees_it() -> None:
    """The points are moved to the camera's own place and axes by hand; the track must project the same."""
    track = part_of(actors.load("3").track, slice(0, 200, 100))
    camera = standpoint(track, 30.0, 0.0)
    assert np.linalg.norm(camera.place - camera.pivot) == pytest.approx(np.linalg.norm(camera.pivot))
    seen = viewed_track(track, [camera, standpoint(track, 0.0, 15.0)])
    assert len(seen) == 4 and seen.face_found.all()
    for i in (0, 1):
        world = landmarks_camera_m(track, i).astype(np.float64)
        own = (world - camera.place) @ camera.turn.T
        pixels = own[:, :2] / own[:, 2:] * track.focal_px + np.array(track.center_px)
        np.testing.assert_allclose(seen.landmarks478[i], pixels, atol=0.02)
        np.testing.assert_allclose(landmarks_camera_m(seen, i), own, atol=1e-4)


@pytest.fixture
def clip(tmp_path: Path, actor: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(truth_clip, "BUNDLED", tmp_path)
    return write_clip(tmp_path / "truth-dot-views.mp4")


def write_clip(path: Path, **changes: object) -> Path:
    about = {
        "subject": {"name": "dot", "sha256": actors.load("dot").sha256},
        "cameras": CAMERAS,
        "frames": ",".join(map(str, NUMBERS)),
    }
    with VideoWriter(path, H264, 25, json.dumps(about | changes)) as writer:
        for i in NUMBERS:
            writer.write(disc_frame(0.02 * (i % 20) - 0.2))
    return path


@pytest.fixture
def request_(clip: Path, quick_protocol_text: str, tmp_path: Path) -> RunRequest:
    return request_of(clip, quick_protocol_text, tmp_path)


def request_of(clip: Path, text: str, folder: Path) -> RunRequest:
    file = folder / "around.toml"
    text = text.replace('"quick"', '"around"').replace('"self-reenactment"', '"novel-view"')
    file.write_text(text + VIEWS.format(sha256=hashlib.sha256(clip.read_bytes()).hexdigest()))
    return RunRequest(
        "nearest-frame", "dot", str(file), profile="smoke", runs_dir=folder / "runs", device="cpu"
    )  # fmt: skip


def test_frames_are_scored_against_the_pictures_of_the_other_cameras(request_: RunRequest, clip: Path) -> None:
    folder, beside = runner.run(request_)
    run = load_run(folder)
    assert tuple(run.scores.index) == NUMBERS and "mean-frame" in beside.as_posix()
    assert max(parse_frames(run.manifest["split"]["train"])) < 138
    rendered, true = list(read_lossless(folder / "render.mkv")), list(open_truth(clip).frames(NUMBERS))
    expected = [peak_signal_noise_ratio(*pair) for pair in zip(true, rendered, strict=True)]
    np.testing.assert_allclose(run.scores["psnr"], expected, rtol=1e-9)
    again = emo_bench.score(folder, metrics="psnr")
    np.testing.assert_array_equal(again.scores["psnr"], run.scores["psnr"])
    with pytest.raises(UserError, match="no mask of the true pictures is known"):
        emo_bench.score(folder, metrics="psnr", region="foreground")
    assert verify(folder, Verification(render=True, device="cpu")).holds


def test_its_tables_stand_apart_and_its_angles_are_those_that_the_cameras_see(
    request_: RunRequest, protocol_file: str
) -> None:
    own = runner.run(dataclasses.replace(request_, protocol=protocol_file), trivial=False)[0]
    folder = runner.run(request_, trivial=False)[0]
    run = load_run(folder)
    assert run.manifest["stages"]["fit"]["copied_from"] == own.as_posix(), "one fit serves both"
    assert len(group_rows([run, load_run(own)])) == 2
    assert not paper_tables_for(group_rows([run]))
    motion = tracked_motion(Row(run))
    assert motion is not None and len(motion["yaw"]) == 2 * FRAMES
    filmed = actors.load("dot").track.yaw_pitch_deg()[140]
    np.testing.assert_allclose(motion["yaw"][140], filmed[0] - 30.0, atol=1e-3)
    assert motion["pitch"][FRAMES + 140] > filmed[1] + 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "deep-video-portraits"}, "does not render other views.*emo-bench methods show NAME"),
        ({"actor": "1"}, "the studio's actors .dot.*: actor 1 is none of them"),
    ],
)
def test_who_cannot_be_scored_is_told_in_one_line(request_: RunRequest, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        plan_run(dataclasses.replace(request_, **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": CAMERAS[:1]}, "has other cameras or frames"),
        ({"subject": {"name": "dot", "sha256": "0" * 64}}, "actor dot is none of them"),
    ],
)
def test_a_clip_of_something_else_is_refused(
    clip: Path, quick_protocol_text: str, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_clip(clip, **changes)
    with pytest.raises(UserError, match=message):
        plan_run(request_of(clip, quick_protocol_text, tmp_path))


def test_frames_made_elsewhere_are_not_filed_under_it(request_: RunRequest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has other views than the recorded one"):
        file_frames(GivenRequest(tmp_path, "mine", "dot", request_.protocol))


def test_only_a_protocol_of_novel_views_has_cameras(request_: RunRequest) -> None:
    fields = load_protocol(str(request_.protocol)).model_dump() | {"task": "self-reenactment"}
    with pytest.raises(ValueError, match="a protocol of novel views has the table views"):
        Protocol(**fields)
