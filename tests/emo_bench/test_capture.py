"""Captures and tracks: what is stored comes back, any frame can be read, and held-out frames cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emo_bench.actors import Capture, Track, list_actors, load
from emo_bench.actors.add import RECORDING
from emo_bench.actors.capture import resize_area
from emo_bench.actors.foreground import rig_silhouette
from emo_bench.actors.sheet import checkerboard, contact_sheet
from emo_bench.actors.track import SHARE_STEPS, pack_foreground, pack_shares
from emo_bench.errors import UserError
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.video.writing import VideoWriter

COUNT, SIZE = 60, 64


def small_track(count: int = COUNT) -> Track:
    rng = np.random.default_rng(7)
    rig = load_head_rig()
    head = rig.head_from_identity(rng.normal(0.0, 0.5, len(rig.identity_basis)))
    found = np.ones(count, dtype=bool)
    found[[10, 11]] = False
    turn = np.zeros((count, 3), dtype=np.float32)
    turn[:, 1] = np.linspace(-0.6, 0.6, count)
    landmarks = (rng.random((1, 478, 2)) * SIZE + np.arange(count)[:, None, None] * 0.1).astype(np.float32)
    landmarks[~found] = np.nan
    yy, xx = np.mgrid[:32, :32]
    masks = np.stack([(xx - 16) ** 2 + (yy - 16) ** 2 < (8 + i % 3) ** 2 for i in range(count)])
    zero = np.zeros((count, 3), dtype=np.float32)
    return Track(
        head=head,
        expression=rng.random((count, 52)).astype(np.float32),
        body_rotvec=zero,
        body_translation=zero + np.array((0.0, 0.1, 0.8), dtype=np.float32),
        neck_rotvec=zero,
        head_rotvec=turn,
        torso_shift=zero,
        focal_px=100.0,
        center_px=(30.0, 33.0),
        size_px=SIZE,
        landmarks478=landmarks,
        face_found=found,
        foreground_bits=pack_foreground(masks),
        foreground_px=32,
    )


def numbered(i: int) -> np.ndarray:
    frame = np.full((SIZE, SIZE, 3), 20 + 3 * i, dtype=np.uint8)
    frame[: SIZE // 2] //= 2
    return frame


def store(home: Path, name: str) -> None:
    folder = home / "captures" / name
    folder.mkdir(parents=True)
    with VideoWriter(folder / "video.mp4", RECORDING, Fraction(30000, 1001)) as writer:
        for i in range(COUNT):
            writer.write(numbered(i))
    small_track().save(folder / "track.npz")
    facts = {"source": "video", "frames": COUNT, "fps": 30000 / 1001, "size_px": SIZE}
    (folder / "capture.json").write_text(json.dumps(facts))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    store(home, "ramp")
    return home


@pytest.fixture
def capture(stored: Path, monkeypatch: pytest.MonkeyPatch) -> Capture:
    monkeypatch.setenv("EMO_BENCH_HOME", str(stored))
    return load("ramp")


def number_of(frame: np.ndarray) -> int:
    return round((float(frame[SIZE // 2 + 4 :].mean()) - 20) / 3)


@pytest.mark.parametrize("indices", [list(range(COUNT)), [59, 0, 31, 30, 29, 29, 58, 3], [5, 6, 40, 41, 2], [47]])
def test_frames_come_in_the_order_asked_for(capture: Capture, indices: list[int]) -> None:
    frames = list(capture.frames(indices))
    assert [number_of(frame) for frame in frames] == indices
    assert all(frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.abs(frames[0].astype(int) - numbered(indices[0])).mean() < 1.5


def test_frames_are_streamed_and_repeats_do_not_share_memory(capture: Capture) -> None:
    stream = capture.frames([4, 4])
    first, second = next(stream), next(stream)
    first[:] = 0
    assert number_of(second) == 4


def test_resize_is_by_area() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    exact = frame.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_area(frame, 16), exact, atol=0.51)
    assert resize_area(frame, 128).shape == (128, 128, 3)


def test_restricted_views_refuse_before_any_frame_is_read(capture: Capture) -> None:
    view = capture.restricted([1, 2, 3])
    assert [number_of(frame) for frame in view.frames([3, 1])] == [3, 1]
    with pytest.raises(PermissionError, match="frame 4 of ramp"):
        view.frames([1, 4])
    with pytest.raises(PermissionError):
        capture.restricted([]).frames([0])
    with pytest.raises(PermissionError):
        view.restricted(range(COUNT)).frames([0])
    assert len(view.track) == COUNT == len(view)
    with pytest.raises(IndexError):
        view.frames([COUNT])
    with pytest.raises(IndexError):
        capture.frames([-1])


def test_capture_knows_its_facts(capture: Capture) -> None:
    assert (len(capture), capture.size_px, capture.source) == (COUNT, SIZE, "video")
    assert capture.fps == pytest.approx(29.97, abs=1e-3)
    assert 10 not in capture.valid_indices and len(capture.valid_indices) == COUNT - 2
    assert len(capture.sha256) == 64
    assert capture.folder.name == "ramp"
    assert "ramp" in [actor.name for actor in list_actors()]


def test_unknown_and_damaged_actors_get_one_line(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(stored))
    with pytest.raises(UserError, match="no actor 'nobody'"):
        load("nobody")
    with pytest.raises(UserError, match="cannot name"):
        load("../ramp")
    store(stored, "broken")
    (stored / "captures" / "broken" / "track.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(UserError, match="cannot be read as a track"):
        len(load("broken"))
    (stored / "captures" / "broken" / "track.npz").unlink()
    with pytest.raises(UserError, match="missing"):
        load("broken")


def test_a_damaged_actor_does_not_hide_the_others(
    stored: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(stored))
    store(stored, "unreadable")
    (stored / "captures" / "unreadable" / "capture.json").write_text("{", encoding="utf-8")
    names = [actor.name for actor in list_actors()]
    assert "ramp" in names and "1" in names and "unreadable" not in names
    assert "actor unreadable is left out" in caplog.text


def test_track_comes_back_from_its_file(tmp_path: Path) -> None:
    track = small_track()
    track.save(tmp_path / "t.npz")
    again = Track.load(tmp_path / "t.npz")
    for name in ("body_rotvec", "body_translation", "neck_rotvec", "head_rotvec", "foreground_bits"):
        np.testing.assert_array_equal(getattr(again, name), getattr(track, name))
    np.testing.assert_array_equal(again.face_found, track.face_found)
    np.testing.assert_allclose(again.landmarks478, track.landmarks478, atol=SIZE / 16384)
    np.testing.assert_allclose(again.expression, track.expression, atol=5e-4)
    np.testing.assert_array_equal(again.head.rest_vertices, track.head.rest_vertices)
    assert (again.focal_px, again.center_px, again.size_px) == (100.0, (30.0, 33.0), SIZE)
    assert again.landmarks68.shape == (COUNT, 68, 2)


def test_track_refuses_wrong_shapes() -> None:
    track = small_track()
    with pytest.raises(ValueError, match="expression"):
        Track(**{**track.__dict__, "expression": np.zeros((COUNT, 51), dtype=np.float32)})


def test_yaw_and_pitch_have_the_documented_signs() -> None:
    track = small_track()
    yaw, pitch = track.yaw_pitch_deg().T
    nose = np.stack([(track.vertices(i) @ (1.0, 0.0, 0.0))[_nose()] for i in (0, COUNT - 1)])
    assert yaw[0] == pytest.approx(np.sign(nose[0]) * np.rad2deg(0.6), abs=0.01)
    assert yaw[-1] == pytest.approx(np.sign(nose[1]) * np.rad2deg(0.6), abs=0.01)
    assert np.abs(pitch).max() < 1e-3
    up = np.zeros((COUNT, 3), dtype=np.float32)
    up[:, 0] = -0.3
    lifted = Track(**{**_fields(track), "head_rotvec": up})
    sign = np.sign(track.vertices(COUNT // 2)[_nose(), 1] - lifted.vertices(COUNT // 2)[_nose(), 1])
    assert sign * lifted.yaw_pitch_deg()[0, 1] == pytest.approx(np.rad2deg(0.3), abs=0.01)


def _nose() -> int:
    return int(load_head_rig().landmark_vertices[4, 0])


def _fields(track: Track) -> dict[str, object]:
    return {name: getattr(track, name) for name in Track.__dataclass_fields__}


def test_head_pose_is_a_rigid_motion_about_the_head_joint() -> None:
    track = small_track()
    pose = track.head_pose
    np.testing.assert_allclose(
        pose[:, :3, :3] @ pose[:, :3, :3].transpose(0, 2, 1), np.eye(3)[None].repeat(COUNT, 0), atol=1e-5
    )
    expected = track.head.joints[1] - track.head.joints[0] + track.head.joints[0] + track.body_translation[0]
    np.testing.assert_allclose(pose[:, :3, 3], expected[None].repeat(COUNT, 0), atol=1e-5)


def test_foreground_keeps_its_shape_at_any_size() -> None:
    track = small_track()
    small, large = track.foreground(0, 32), track.foreground(0, 128)
    yy, xx = np.mgrid[:32, :32]
    np.testing.assert_array_equal(small, (xx - 16) ** 2 + (yy - 16) ** 2 < 64)
    assert large.mean() == pytest.approx(small.mean(), rel=0.05)


def test_soft_masks_are_kept_at_any_size(tmp_path: Path) -> None:
    track = small_track()
    yy, xx = np.mgrid[:32, :32] + 0.5
    disc = np.clip(9.0 - np.hypot(xx - 16, yy - 16), 0.0, 1.0).astype(np.float32)
    shares = pack_shares(np.tile(disc, (COUNT, 1, 1)))
    bits = pack_foreground(np.tile(disc >= 0.5, (COUNT, 1, 1)))
    replace(track, foreground_bits=bits, foreground_shares=shares).save(tmp_path / "track.npz")
    read = Track.load(tmp_path / "track.npz")
    assert np.abs(read.matte(0, 32) - disc).max() <= 0.5 / SHARE_STEPS + 1e-6
    np.testing.assert_array_equal(read.foreground(5, 32), disc >= 0.5)
    wide = np.hypot(*(np.mgrid[:128, :128] + 0.5 - 64)) < 4 * 8.5
    soft, hard = read.foreground(5, 128), replace(track, foreground_bits=bits).foreground(5, 128)
    assert (soft & wide).sum() / (soft | wide).sum() > max(0.985, (hard & wide).sum() / (hard | wide).sum())
    track.save(tmp_path / "hard.npz")
    assert Track.load(tmp_path / "hard.npz").foreground_shares is None


def test_fast_silhouette_agrees_with_rays() -> None:
    track = small_track()
    fast, exact = rig_silhouette(track, 30, 128), track.uv(30, 128)[1]
    assert (fast & exact).sum() / (fast | exact).sum() > 0.95


def test_contact_sheet_shows_every_row(capture: Capture, tmp_path: Path) -> None:
    import cv2

    path = contact_sheet(capture, tmp_path / "deep" / "sheet.png", columns=3)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (5 * 256 + 18, 3 * 256, 3)
    board = checkerboard(np.stack(np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64)), axis=-1), 4)
    assert len(np.unique(board.reshape(-1, 3), axis=0)) > 100
