"""Expression, pose and identity of re-tracked frames: turns of known angles, real frames, hand-made embeddings."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from emo_bench import assets
from emo_bench.actors import load
from emo_bench.metrics import Scorer, identity, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import Face, FaceFinder, missing_detector, open_detector
from emo_bench.metrics.identity import (
    ARCFACE_POINTS,
    CSIM,
    ArcFace,
    DlibResNet,
    IdentityDistance,
    IdentitySimilarity,
    arcface_crop,
)
from emo_bench.metrics.metric import Backend
from emo_bench.metrics.retracking import ExpressionError, HeadAngles, PoseError
from emo_bench.tracking.face_embedding import SAME_PERSON

pytestmark = pytest.mark.skipif(missing_detector("mediapipe") is not None, reason="no face_landmarker.task here")
needs_dlib = pytest.mark.skipif(
    missing_detector("dlib") is not None or assets.locate("dlib-resnet") is None, reason="no dlib here"
)
RETRACKED = ("expression_error", "pose_error_deg")
NO_LANDMARKS = np.zeros((68, 2), np.float32)
rotvecs = st.tuples(*[st.floats(-1.5, 1.5) for _ in range(3)])


@functools.cache
def actor(name: str, *frames: int) -> np.ndarray:
    return np.stack(list(load(name).frames(frames, size=192)))


def posed(rotvec: tuple[float, ...], scale: float = 1.0) -> Face:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = scale * Rotation.from_rotvec(rotvec).as_matrix()
    return Face(NO_LANDMARKS, np.zeros(52, np.float32), matrix)


@settings(max_examples=40, deadline=None)
@given(rotvecs, rotvecs, st.floats(0.5, 2.0))
def test_pose_error_is_the_angle_between_two_rotations(one, other, scale: float) -> None:
    metric = PoseError()
    upright = posed((0.0, 0.0, 0.0))
    angle = np.degrees(np.linalg.norm(one))
    expected = angle if angle <= 180 else 360 - angle
    assert metric._of_pair(posed(one, scale), upright) == pytest.approx(expected, abs=0.01)
    forward, backward = (metric._of_pair(*pair) for pair in ((posed(one), posed(other)), (posed(other), posed(one))))
    assert forward == pytest.approx(backward, abs=0.01) and 0 <= forward <= 180
    assert metric._of_pair(posed(one), posed(one)) == pytest.approx(0.0, abs=0.02)


def test_expression_error_is_the_mean_over_52() -> None:
    mine = np.zeros(52, np.float32)
    mine[[3, 7]] = (0.25, 1.0)
    faces = [Face(NO_LANDMARKS, x, None) for x in (mine, np.zeros(52, np.float32))]
    assert ExpressionError()._of_pair(faces[0], faces[1]) == pytest.approx(1.25 / 52)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.6, 0.6), min_size=6, max_size=6))
def test_apd_is_the_mean_of_three_angles_in_radians(angles: list[float]) -> None:
    """The rotations are put together as Deep3DFaceRecon does, by hand: around x first, then y, then z."""

    def turned(x: float, y: float, z: float) -> np.ndarray:
        around_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
        around_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
        around_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(around_z) @ around_y @ around_x
        return matrix.astype(np.float32)

    mine, theirs = angles[:3], angles[3:]
    faces = [Face(NO_LANDMARKS, None, turned(*side)) for side in (mine, theirs)]
    assert HeadAngles()._of_pair(*faces) == pytest.approx(np.abs(np.subtract(mine, theirs)).mean(), abs=1e-5)
    assert HeadAngles()._of_pair(faces[0], faces[0]) == 0


def test_real_frames_agree_with_the_actors_own_track() -> None:
    """The studio knows the true motion: far apart frames differ more, and by about as much as the track says."""
    capture = load("1")
    yaw = capture.track.yaw_pitch_deg()[:, 0]
    span = np.arange(200)
    left, right = (int(span[f(yaw[span])]) for f in (np.argmin, np.argmax))
    frames = actor("1", left, left + 1, right)
    table = score(frames, np.stack([frames[0]] * 3), metrics=RETRACKED)
    assert table.iloc[0].to_numpy() == pytest.approx([0.0, 0.0], abs=1e-6)
    between = np.degrees(
        Rotation.from_matrix(
            capture.track.head_pose[right, :3, :3] @ capture.track.head_pose[left, :3, :3].T
        ).magnitude()
    )
    assert table["pose_error_deg"][2] == pytest.approx(between, rel=0.35)
    assert table["pose_error_deg"][1] < table["pose_error_deg"][2] / 3
    assert table["expression_error"][1] < table["expression_error"][2]


def test_picture_turned_in_its_plane_turns_the_head() -> None:
    reference = actor("1", 40)
    middle = (96.0, 96.0)
    turned = [
        cv2.warpAffine(reference[0], cv2.getRotationMatrix2D(middle, angle, 1.0), (192, 192), borderMode=1)
        for angle in (5, 15)
    ]
    table = score(np.stack(turned), np.repeat(reference, 2, axis=0), metrics=RETRACKED)
    assert table["pose_error_deg"].tolist() == pytest.approx([5, 15], abs=2.5)


def test_faces_are_looked_at_once_and_a_missing_one_is_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    finder = open_detector("mediapipe", "cpu")
    looked_at = []
    detect = finder._detector.detect
    monkeypatch.setattr(finder._detector, "detect", lambda frame: looked_at.append(1) or detect(frame))
    frames = actor("2", 31, 33) // 2 + np.uint8(9)
    frames[1] = 128
    reference = actor("2", 32, 34) // 2 + np.uint8(9)
    scorer = Scorer(("flmd", "flmd_iod", *RETRACKED))
    scorer.add(frames, reference, ["seen", "blank"])
    assert len(looked_at) == 4
    table = scorer.table()
    assert table.loc["seen"].notna().all() and table.loc["blank"].isna().all()
    assert table.attrs["records"]["pose_error_deg"]["frames_dropped"] == ["blank"]


class FirstPixel:
    """Embeds a frame as its first pixel and sees a face in every frame whose second pixel is not black."""

    backend = Backend("first pixel")

    def detect(self, frame_u8: np.ndarray) -> Face | None:
        return Face(NO_LANDMARKS) if frame_u8[0, 1].any() else None

    def embed(self, frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        return frame[0, 0].astype(np.float64)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 255), min_size=3, max_size=3), st.lists(st.integers(1, 255), min_size=3, max_size=3))
def test_identity_is_the_cosine_of_the_embeddings(one: list[int], other: list[int]) -> None:
    pixel = FirstPixel()
    metric = IdentitySimilarity(detector=FaceFinder(pixel), embedder=pixel)
    frames = np.full((3, 8, 8, 3), 9, np.uint8)
    reference = frames.copy()
    frames[:, 0, 0], reference[:, 0, 0] = one, other
    reference[1, 0, 0] = one
    frames[2, 0, 1] = 0
    scores = metric.score(frames, reference)
    cosine = np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other)
    assert scores[:2] == pytest.approx([cosine, 1.0]) and np.isnan(scores[2])
    np.testing.assert_array_equal(metric.score(reference, frames), scores)


@needs_dlib
def test_dlib_tells_the_actors_apart() -> None:
    names = ("1", "2", "3", "4")
    frames = np.concatenate([actor(name, 10, 60) for name in names])
    finder, embedder = open_detector("mediapipe", "cpu"), DlibResNet()
    metric = IdentitySimilarity(detector=finder, embedder=embedder)
    ones, others = np.divmod(np.arange(64), 8)
    same = (ones // 2 == others // 2) & (ones != others)
    scores = metric.score_batch(Batch(frames[ones], frames[others]))
    np.testing.assert_allclose(scores[ones == others], 1.0, atol=1e-9)
    assert scores[same].mean() > scores[ones // 2 != others // 2].mean() + 0.05
    assert metric.backend.name == "dlib-resnet" and "mediapipe" in metric.backend.detail


@needs_dlib
def test_dlib_embedding_is_the_packages_own_for_the_same_landmarks() -> None:
    import dlib

    frame = actor("3", 20)[0]
    whole = np.round(open_detector("mediapipe", "cpu").faces(Batch(frame[None]), "frames")[0].landmarks68)
    points = [dlib.point(int(x), int(y)) for x, y in whole]
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 191, 191), points)
    model = dlib.face_recognition_model_v1(str(assets.require("dlib-resnet").path))
    own = np.array(model.compute_face_descriptor(dlib.get_face_chip(frame, shape, 150, 0.25)))
    np.testing.assert_allclose(DlibResNet().embed(frame, whole + 0.5), own, atol=1e-5)


@pytest.mark.parametrize("turn_deg", [0, 90])
def test_arcface_crop_lays_five_points_on_their_places(turn_deg: int) -> None:
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), (0, 0), 2)
    landmarks = np.zeros((68, 2), np.float32)
    five = ARCFACE_POINTS + (40, 30) + 0.5
    landmarks[36:42], landmarks[42:48], landmarks[[30, 48, 54]] = five[0], five[1], five[2:]
    expected = frame[30:142, 40:152]
    for _ in range(turn_deg // 90):
        frame = np.ascontiguousarray(np.rot90(frame))
        landmarks = np.stack([landmarks[:, 1], 200 - landmarks[:, 0]], axis=1)
    assert np.abs(arcface_crop(frame, landmarks).astype(int) - expected).max() <= 2


def test_arcface_onnx_is_fed_as_it_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that hands back the mean of each channel, in a real ONNX file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 112, 112])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 3])
    pool = onnx.helper.make_node("GlobalAveragePool", ["image"], ["pooled"])
    flat = onnx.helper.make_node("Flatten", ["pooled"], ["out"])
    graph = onnx.helper.make_graph([pool, flat], "means", [image], [out])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "net.onnx")
    file = assets.AssetFile(tmp_path / "net.onnx", "test")
    monkeypatch.setattr(identity.assets, "require", lambda name: file)
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[..., 0], frame[..., 2] = 255, 51
    landmarks = np.zeros((68, 2), np.float32)
    five = ARCFACE_POINTS + (40, 30) + 0.5
    landmarks[36:42], landmarks[42:48], landmarks[[30, 48, 54]] = five[0], five[1], five[2:]
    np.testing.assert_allclose(ArcFace().embed(frame, landmarks), [1.0, -1.0, -0.6], atol=1e-4)


def test_distance_is_euclidean_and_belongs_to_dlib() -> None:
    pixel = FirstPixel()
    metric = IdentityDistance(detector=FaceFinder(pixel), embedder=pixel)
    frames = np.full((2, 8, 8, 3), 9, np.uint8)
    reference = frames.copy()
    frames[0, 0, 0], reference[0, 0, 0] = (10, 20, 30), (13, 24, 30)
    assert metric.score(frames, reference).tolist() == [5.0, 0.0]
    assert IdentityDistance.info.direction == "lower" and IdentityDistance.network == identity.DLIB


def test_csim_is_arcface_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """identity_similarity takes the embedder that is here; CSIM does not call another network's cosine CSIM."""
    monkeypatch.setattr(identity, "_is_here", lambda name: name == identity.DLIB)
    assert CSIM.missing() is not None and "emo-bench assets fetch arcface-onnx" in str(CSIM.missing())
    assert IdentityDistance.missing() is None and IdentitySimilarity.missing() is None
    monkeypatch.setattr(identity, "_is_here", lambda name: name == identity.ARCFACE)
    assert CSIM.missing() is None and "pip install face_recognition_models dlib-bin" in str(IdentityDistance.missing())


@needs_dlib
def test_dlib_knows_one_person_in_two_pictures_by_the_published_threshold() -> None:
    """Frames of one bundled actor lie below 0.6, whatever the pose; the actors 1 and 2 lie above."""
    one, other = actor("1", 100, 900), actor("2", 100, 900)
    metric = IdentityDistance(detector=open_detector("mediapipe", "cpu"))
    assert metric.backend.name == "dlib-resnet"
    assert metric.score(one, one[::-1].copy()).max() < SAME_PERSON < metric.score(one, other).min()


def test_without_an_embedder_identity_is_undefined_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_embedder_name", lambda: None)
    frames = actor("1", 40)
    table = score(frames, frames, metrics=("identity_similarity",))
    assert np.isnan(table["identity_similarity"][0])
    detail = table.attrs["records"]["identity_similarity"]["backend"]["detail"]
    assert "pip install face_recognition_models dlib-bin" in detail
