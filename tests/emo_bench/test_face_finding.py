"""Which face of a video is followed, how small it may be, and what the smoothing of landmarks does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from emo_bench import assets
from emo_bench.actors import face_finding, load
from emo_bench.actors.add import add_video
from emo_bench.actors.crop import Crop, head_and_shoulders, square_around
from emo_bench.actors.face_finding import find_person
from emo_bench.actors.face_search import search_faces
from emo_bench.actors.following import FaceFollower, FacePicture, Tracklet
from emo_bench.actors.people import choose_person
from emo_bench.errors import UserError
from emo_bench.system import opencv as cv2
from emo_bench.tracking.landmarks import Detection, Landmarker, inter_ocular_px
from emo_bench.video.writing import H264, write_video

needs_dlib = pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None or assets.locate("dlib-resnet") is None, reason="no dlib here"
)


@pytest.fixture(scope="module")
def landmarker() -> Iterator[Landmarker]:
    with Landmarker() as opened:
        yield opened


def pictures(actor: str, count: int, start: int = 100) -> list[np.ndarray]:
    return list(load(actor).frames(range(start, start + count)))


def face(x: float, y: float, size: float) -> Detection:
    points = np.random.default_rng(0).random((478, 2)).astype(np.float32) * size + np.array((x, y))
    points[0], points[1] = (x, y), (x + size, y + size)
    return Detection(points.astype(np.float32), np.zeros(52), np.eye(4))


def tracklet(numbers: Sequence[int], size: float, looks: Sequence[float] = ()) -> Tracklet:
    """A face of that size; ``looks`` are the levels of its pictures, which the tests take as embedding."""
    shown = [FacePicture(np.full((2, 2, 3), level, np.uint8), np.zeros((68, 2))) for level in looks]
    return Tracklet({number: face(0.0, 0.0, size) for number in numbers}, shown)


def level(picture: FacePicture) -> np.ndarray:
    return picture.image_rgb_u8[0, 0, :1] / 100.0


def test_the_person_whose_face_fills_most_of_the_video_is_chosen_and_joined_over_gaps() -> None:
    large, after, small = (
        tracklet(range(20), 80, [10]),
        tracklet(range(24, 50), 60, [20]),
        tracklet(range(50), 40, [90]),
    )
    chosen = choose_person([small, large, after], 50, level, same_person=0.6)
    assert [number for number, one in enumerate(chosen.faces) if one is None] == [20, 21, 22, 23]
    assert chosen.beside == (*range(20), *range(24, 50)) and chosen.instead == (20, 21, 22, 23)
    assert chosen.compared


def test_a_face_of_another_person_is_left_out_although_it_is_never_beside() -> None:
    man, woman = tracklet(range(30), 80, [10, 20]), tracklet(range(30, 50), 80, [95, 99])
    chosen = choose_person([man, woman], 50, level, same_person=0.6)
    assert [number for number, one in enumerate(chosen.faces) if one is None] == list(range(30, 50))
    assert chosen.instead == tuple(range(30, 50)) and not chosen.beside
    unknown = choose_person([man, woman], 50, None, same_person=0.6)
    assert all(one is not None for one in unknown.faces) and not unknown.compared


def test_no_face_at_all_is_nobody() -> None:
    assert choose_person([], 3, level, 0.6).faces == [None, None, None]


def test_a_face_of_160_px_in_a_television_picture_is_found(landmarker: Landmarker) -> None:
    rng = np.random.default_rng(3)
    wall = cv2.resize(rng.integers(60, 200, (9, 16, 3), dtype=np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    for frame in pictures("1", 2):
        alone = landmarker.detect(frame)
        assert alone is not None
        scale = 160.0 / (alone.box[3] - alone.box[1])
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.array(wall)
        picture[600 : 600 + len(small), 1400 : 1400 + len(small)] = small
        (found,) = search_faces(landmarker, picture)
        expected = alone.landmarks478 * scale + np.array((1400, 600))
        assert np.abs(found.landmarks478 - expected).mean() < 0.02 * 160


def test_head_and_shoulders_of_96_px_are_found(landmarker: Landmarker) -> None:
    """docs/actors.md promises this size."""
    picture = np.full((720, 1280, 3), 120, dtype=np.uint8)
    picture[300:396, 900:996] = cv2.resize(pictures("2", 1)[0], (96, 96), interpolation=cv2.INTER_AREA)
    (found,) = search_faces(landmarker, picture)
    assert found.box[0] > 900 and found.box[2] < 996 and found.box[1] > 300 and found.box[3] < 396


def test_a_face_is_followed_where_two_people_take_turns_in_being_larger(landmarker: Landmarker) -> None:
    one, two = pictures("1", 40), pictures("2", 40)
    frames = []
    for number, (left, right) in enumerate(zip(one, two, strict=True)):
        picture = np.zeros((256, 512, 3), dtype=np.uint8)
        for corner, part, share in (
            (0, left, 0.75 + 0.2 * np.sin(number / 5)),
            (256, right, 0.75 - 0.2 * np.sin(number / 5)),
        ):
            size = round(256 * share)
            picture[:size, corner : corner + size] = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)
        frames.append(picture)
    person = find_person(frames, landmarker, 25.0)
    sides = {one.box[0] < 256 for one in person.faces if one is not None}
    assert len(sides) == 1 and None not in person.faces
    assert any("two people" in note for note in person.notes)


def test_a_cut_begins_a_new_shot_and_motion_does_not(landmarker: Landmarker) -> None:
    follower = FaceFollower(landmarker, 25.0)
    for frame in (*pictures("1", 30), *pictures("2", 30)):
        follower.see(frame)
    assert follower.cuts == [30]
    assert [list(t.by_frame) for t in follower.tracklets] == [list(range(30)), list(range(30, 60))]
    assert all(2 <= len(t.pictures) <= 8 for t in follower.tracklets)


@needs_dlib
def test_a_cut_to_another_person_leaves_him_out_and_a_cut_back_continues(landmarker: Landmarker) -> None:
    frames = [*pictures("1", 30), *pictures("2", 20), *pictures("1", 30, start=400)]
    person = find_person(frames, landmarker, 25.0)
    assert [number for number, one in enumerate(person.faces) if one is None] == list(range(30, 50))
    assert any("another person" in note and "30-49" in note for note in person.notes)


@needs_dlib
def test_a_video_whose_person_is_cut_away_too_early_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path))
    video = tmp_path / "cut.mp4"
    write_video(video, [*pictures("1", 36), *pictures("2", 30)], H264, 25)
    with pytest.raises(UserError, match=r"has 36 usable frames .*another person is in view, .* at frames 36-65"):
        add_video(video, progress=False)


def test_without_a_network_for_faces_a_note_says_that_nobody_compared_them(
    landmarker: Landmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_bench.actors.face_finding.embedding_missing", lambda: "needs asset dlib-resnet")
    person = find_person([*pictures("1", 15), *pictures("2", 15)], landmarker, 25.0)
    assert None not in person.faces
    assert any("not checked" in note and "dlib-resnet" in note for note in person.notes)


@pytest.mark.parametrize("actor", ["1", "2"])
def test_smoothing_brings_landmarks_nearer_to_the_true_ones(landmarker: Landmarker, actor: str) -> None:
    """The bundled actors' landmarks are exact; noise is what differs from frame to frame."""
    frames, truth = pictures(actor, 80), load(actor).track.landmarks478[100:180].astype(np.float64)
    raw = np.stack([one.landmarks478 for frame in frames if (one := landmarker.detect(frame)) is not None])
    person = find_person(frames, landmarker, 25.0)
    smoothed = np.stack([one.landmarks478 for one in person.faces if one is not None])
    assert len(raw) == len(smoothed) == 80

    def shake(landmarks: np.ndarray) -> float:
        second = landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2]
        return float(np.linalg.norm(second, axis=-1).mean() / inter_ocular_px(truth).mean())

    def noise(landmarks: np.ndarray) -> float:
        error = landmarks - truth
        slow = np.stack([error[max(i - 4, 0) : i + 5].mean(axis=0) for i in range(80)])
        return float(np.sqrt(((error - slow) ** 2).sum(axis=-1).mean()))

    assert noise(smoothed) < 0.96 * noise(raw)
    assert shake(smoothed) < 1.3 * shake(truth) < shake(raw)


@pytest.mark.parametrize("block_frames", [1, 7, 20])
def test_smoothing_in_blocks_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, block_frames: int) -> None:
    rng = np.random.default_rng(5)
    noisy: list[Detection | None] = [
        Detection(rng.normal(0.0, 9.0, (478, 2)).astype(np.float32), np.zeros(52), np.eye(4)) for _ in range(45)
    ]
    noisy[12] = noisy[13] = None
    whole, parts = list(noisy), list(noisy)
    face_finding._remove_noise(whole, [30], 25.0)
    monkeypatch.setattr(face_finding, "BLOCK_FRAMES", block_frames)
    face_finding._remove_noise(parts, [30], 25.0)
    for one, other, before in zip(whole, parts, noisy, strict=True):
        assert (one is None) == (other is None) == (before is None)
        if one is not None and other is not None and before is not None:
            np.testing.assert_array_equal(one.landmarks478, other.landmarks478)
            assert not np.array_equal(one.landmarks478, before.landmarks478)


def test_smoothing_stops_at_a_cut(landmarker: Landmarker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.actors.face_finding.embedding_missing", lambda: "needs asset dlib-resnet")
    frames = [*pictures("1", 12), *pictures("2", 12)]
    person, alone = find_person(frames, landmarker, 25.0), find_person(frames[:12], landmarker, 25.0)
    for mine, expected in zip(person.faces, alone.faces, strict=False):
        assert mine is not None and expected is not None
        np.testing.assert_array_equal(mine.landmarks478, expected.landmarks478)


def test_crop_holds_the_head_stays_inside_and_maps_points() -> None:
    boxes = np.array([[200.0 + i, 100.0, 300.0 + i, 230.0] for i in range(40)])
    crop = head_and_shoulders(boxes, 640, 480)
    assert crop.left <= 150 and crop.left + crop.side >= 390
    assert 0 <= crop.top <= 60 and crop.top + crop.side >= 310
    small = head_and_shoulders(boxes, 360, 288)
    assert (small.side, small.top) == (288, 0)
    moved = Crop(10, 20, 128).to_crop(np.array([[74.0, 84.0]]), 256)
    np.testing.assert_allclose(moved, [[128.0, 128.0]])


def test_a_square_around_a_box_stays_in_the_picture() -> None:
    assert square_around((100.0, 100.0, 140.0, 150.0), 2.0, 640, 480) == Crop(70, 75, 100)
    assert square_around((0.0, 0.0, 40.0, 50.0), 2.0, 640, 480) == Crop(0, 0, 100)
    assert square_around((600.0, 440.0, 640.0, 480.0), 99.0, 640, 480) == Crop(160, 0, 480)
