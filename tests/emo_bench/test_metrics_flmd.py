"""F-LMD and its variants against known shifts and turns: landmarks placed by hand, and detectors on a photograph."""

import functools
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.transform import SimilarityTransform

from emo_bench import assets
from emo_bench.assets import location
from emo_bench.errors import UserError
from emo_bench.metrics import Scorer, Settings, detectors, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import FANDetector, missing_detector, open_detector
from emo_bench.metrics.face_lost import FaceLost
from emo_bench.metrics.flmd import (
    FLMD,
    AlignedFLMD,
    CentredFLMD,
    InterOcularFLMD,
    LandmarkDistance,
    LipsLMD,
    SummedLipsLMD,
)


@dataclass(frozen=True)
class Found:
    landmarks68: np.ndarray


class WrittenLandmarks:
    """Reads landmarks that the test wrote into the frame's first pixel: (shift x, shift y, face there)."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.face = np.random.default_rng(0).uniform(60, 180, size=(68, 2)).astype(np.float32)

    def detect(self, frame_u8: np.ndarray) -> Found | None:
        self.looked_at += 1
        shift_x, shift_y, there = frame_u8[0, 0].astype(np.float32)
        return Found(np.add(self.face, (shift_x, shift_y))) if there else None


VARIANTS = (FLMD, AlignedFLMD, CentredFLMD, InterOcularFLMD, LipsLMD, SummedLipsLMD)


class PlacedLandmarks:
    """Knows the landmarks of frames that hold nothing but their number."""

    def __init__(self, *sets: np.ndarray) -> None:
        self.sets = sets

    def detect(self, frame_u8: np.ndarray) -> Found | None:
        return Found(self.sets[frame_u8[0, 0, 0]].astype(np.float32))


def placed(metric: type[LandmarkDistance], mine: np.ndarray, theirs: np.ndarray, size_px: int = 256) -> float:
    """The score of landmarks ``[68, 2]`` px in a frame of that size."""
    frames = np.zeros((2, size_px, size_px // 2, 3), np.uint8)
    frames[1] = 1
    return float(metric(detector=PlacedLandmarks(mine, theirs)).score(frames[:1], frames[1:])[0])


@functools.cache
def a_face() -> np.ndarray:
    return np.random.default_rng(5).uniform(60, 180, size=(68, 2))


def turned(points: np.ndarray, degrees: float, center: np.ndarray) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - center) @ matrix.T + center


def test_shift_is_seen_by_flmd_and_not_by_centred_variants() -> None:
    moved = a_face() + np.array([3, 0])
    assert placed(FLMD, moved, a_face()) == pytest.approx(3.0, abs=1e-5)
    for metric in (CentredFLMD, LipsLMD, SummedLipsLMD):
        assert placed(metric, moved, a_face()) == pytest.approx(0.0, abs=1e-4)
    between = np.linalg.norm(a_face()[36] - a_face()[45])
    assert placed(InterOcularFLMD, moved, a_face()) == pytest.approx(3.0 / between, abs=1e-6)


@pytest.mark.parametrize("degrees", [1.0, 10.0, 90.0])
def test_turn_about_the_mean_moves_each_point_by_its_chord(degrees: float) -> None:
    chord = 2 * np.sin(np.radians(degrees) / 2)
    center = a_face().mean(axis=0)
    radii = np.linalg.norm(a_face() - center, axis=1)
    mine = turned(a_face(), degrees, center)
    assert placed(FLMD, mine, a_face()) == pytest.approx((chord * radii).mean(), abs=1e-4)
    assert placed(CentredFLMD, mine, a_face()) == pytest.approx((chord * radii).mean(), abs=1e-4)
    lips = a_face()[48:]
    lip_radii = np.linalg.norm(lips - lips.mean(axis=0), axis=1)
    assert placed(LipsLMD, mine, a_face()) == pytest.approx((chord * lip_radii).mean(), abs=1e-4)
    assert placed(SummedLipsLMD, mine, a_face()) == pytest.approx((chord * lip_radii).sum(), abs=2e-3)


def test_the_aligned_variant_sees_the_shape_alone() -> None:
    """A moved, turned and scaled face is the same; another shape is as far as scikit-image's least squares say."""
    moved = turned(1.2 * a_face() + (9, -4), 20.0, a_face().mean(axis=0))
    assert placed(AlignedFLMD, moved, a_face()) == pytest.approx(0.0, abs=1e-4)
    mirrored = a_face() * (-1, 1) + (256, 0)
    other = a_face() + np.random.default_rng(8).normal(0, 4, (68, 2))
    for mine in (mirrored, turned(other, 35.0, other.mean(axis=0))):
        fitted = SimilarityTransform.from_estimate(mine, a_face())
        expected = np.linalg.norm(fitted(mine) - a_face(), axis=1).mean()
        assert placed(AlignedFLMD, mine, a_face()) == pytest.approx(expected, rel=1e-4)
    assert np.isnan(placed(AlignedFLMD, np.full((68, 2), 7.0), a_face()))


def test_lip_variants_see_the_lips_alone() -> None:
    mine = a_face().copy()
    mine[:48] += 17
    assert placed(LipsLMD, mine, a_face()) == 0.0
    mine[48] += (20, 0)
    # One of twenty points moved: 19 parts of it beside the mean, a twentieth for each of the others.
    assert placed(LipsLMD, mine, a_face()) == pytest.approx((19 + 19) / 20, abs=1e-4)
    assert placed(SummedLipsLMD, mine, a_face()) == pytest.approx(38.0, abs=2e-3)


@pytest.mark.parametrize("metric", VARIANTS)
def test_variants_do_not_depend_on_the_size_of_the_picture(metric: type[LandmarkDistance]) -> None:
    mine = a_face() + np.random.default_rng(6).normal(0, 3, (68, 2))
    small = placed(metric, mine, a_face(), 256)
    assert small > 0
    assert placed(metric, 2 * mine, 2 * a_face(), 512) == pytest.approx(small, rel=1e-5)


def test_face_lost_counts_the_faces_of_the_reference_that_are_not_found() -> None:
    face, blank = frame_with_face(), np.zeros_like(frame_with_face())
    scores = FaceLost(detector=WrittenLandmarks()).score(
        np.stack([face, blank, blank, face]), np.stack([face, face, blank, blank])
    )
    np.testing.assert_array_equal(scores, [0.0, 1.0, np.nan, np.nan])
    assert FaceLost.aggregate(scores) == 0.5 and FaceLost.info.direction == "lower"


def test_landmarks_are_found_once_for_all_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    written = WrittenLandmarks()
    kind = detectors._Kind(lambda device: detectors.FaceFinder(written), ("numpy",), "numpy", ())
    monkeypatch.setitem(detectors.DETECTORS, "written-once", kind)  # type: ignore[attr-defined]
    scorer = Scorer(tuple(metric.info.id for metric in VARIANTS), settings=Settings(detector="written-once"))
    scorer.add(np.stack([frame_with_face(3), frame_with_face(4)]), np.stack([frame_with_face()] * 2))
    assert written.looked_at == 3
    table = scorer.table()
    assert table["flmd"].tolist() == pytest.approx([3.0, 4.0], abs=1e-5)
    assert {record["backend"]["name"] for record in table.attrs["records"].values()} == {"WrittenLandmarks"}


def test_detector_is_the_first_at_hand_and_a_missing_one_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"dlib-68", "face-landmarker"}
    monkeypatch.setattr(location, "locate", lambda name: name if name in here else None)
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda package: ModuleSpec(package, None))
    assert detectors.detector_name() == "mediapipe"
    assert detectors.detector_name("dlib") == "dlib"
    here |= {"fan-2d", "sfd"}
    assert detectors.detector_name() == "fan"
    # dlib's points are for non-commercial use only: nobody gets them without asking.
    here = {"dlib-68"}
    assert "emo-bench assets fetch face-landmarker" in (missing_detector() or "")
    assert detectors.detector_name("dlib") == "dlib"
    here.clear()
    with pytest.raises(UserError, match=r"detector fan: needs asset fan-2d; run: emo-bench assets fetch fan-2d"):
        detectors.detector_name("fan")
    frame = frame_with_face()[None]
    table = score(frame, frame, metrics=("flmd",), settings=Settings(detector="dlib"))
    assert np.isnan(table["flmd"][0])
    assert "pip install face_recognition_models" in table.attrs["records"]["flmd"]["backend"]["detail"]
    with pytest.raises(UserError, match="unknown detector 'dilb'; known: auto, fan, mediapipe, dlib"):
        score(frame, frame, metrics=("flmd",), settings=Settings(detector="dilb"))


@pytest.mark.filterwarnings("ignore")
def test_fan_runs_from_local_weights_and_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights in the real networks, one hourglass instead of four."""
    face_alignment = pytest.importorskip("face_alignment")
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd

    torch.manual_seed(0)
    fan = face_alignment.api.FAN(1).eval()
    monkeypatch.setattr(face_alignment.api, "FAN", lambda size: fan)
    for compiled in ("_get_preds_fromhm", "transform_np"):  # numba would take a minute for one picture
        monkeypatch.setattr(face_alignment.utils, compiled, getattr(face_alignment.utils, compiled).py_func)
    torch.save(fan.state_dict(), tmp_path / "fan-2d")
    torch.save(s3fd().state_dict(), tmp_path / "sfd")
    monkeypatch.setattr(detectors.assets, "require", lambda name: assets.AssetFile(tmp_path / name, "0", "test"))
    for module in (torch.hub, face_alignment.utils):
        monkeypatch.setattr(module, "download_url_to_file", lambda *_, **__: pytest.fail("a download"))
    detector = FANDetector()
    photograph = data.astronaut()[0:256, 96:352]
    boxes: list[list[float]] = []
    monkeypatch.setattr(detector._network.face_detector, "detect_from_image", lambda image: boxes)
    assert detector.detect(photograph) is None
    boxes += [[10, 10, 40, 40, 0.9], [70, 40, 190, 200, 0.8]]
    outputs = []
    hook = fan.register_forward_hook(lambda network, inputs, output: outputs.append((inputs[0], output)))
    found = detector.detect(photograph)
    hook.remove()
    assert found is not None and found.landmarks68.shape == (68, 2)
    ((crop, heat),) = outputs
    expected_crop = face_alignment.utils.crop(photograph, np.array([130.0, 120.0 - 0.12 * 160]), 280 / 195)
    np.testing.assert_allclose(crop[0].permute(1, 2, 0) * 255, expected_crop, atol=1e-3)
    heat = (heat[-1] if isinstance(heat, list) else heat)[0].flatten(1)
    peaks = np.stack([heat.argmax(1) % 64, heat.argmax(1) // 64], axis=1)
    side = 200 * 280 / 195
    # A heat map's cell is a 64th of the crop; the sub-cell step is a quarter of one.
    expected = (peaks + 0.5) / 64 * side + np.array([130.0, 120.0 - 0.12 * 160]) - side / 2
    assert np.abs(found.landmarks68 - expected).max() < side / 64
    # Neural Head Avatars takes the box with the highest confidence, and uses it for another frame.
    assert detector.surest_box(photograph) == boxes[0]
    np.testing.assert_array_equal(detector.landmarks_in(photograph, boxes[1]), found.landmarks68)


@pytest.mark.skipif(missing_detector("dlib") is not None, reason="no dlib or no face_recognition_models here")
def test_dlib_follows_a_photograph_shifted_by_known_pixels() -> None:
    photograph = data.astronaut()
    frames = np.stack([photograph[0:256, 96 - shift : 352 - shift] for shift in (0, 3, 8)])
    reference = np.broadcast_to(frames[0], frames.shape)
    table = score(frames, reference, metrics=("flmd",), settings=Settings(detector="dlib"))
    np.testing.assert_allclose(table["flmd"], [0.0, 3.0, 8.0], atol=0.8)
    backend = table.attrs["records"]["flmd"]["backend"]
    assert backend["name"] == "dlib-68" and backend["sha256"] == assets.require("dlib-68").sha256
    found = open_detector("dlib", "cpu").faces(Batch(frames[:1]), "frames")[0]
    assert found is not None
    lips, nose = found.landmarks68[48:], found.landmarks68[30]
    assert (lips[:, 1] > nose[1]).all()


@pytest.mark.skipif(missing_detector("dlib") is not None, reason="no dlib or no face_recognition_models here")
def test_dlib_looks_for_a_lost_face_in_the_box_of_the_reference() -> None:
    """A grey frame has no face: alone it has no score, in the box of the reference it has that of dlib's predictor."""
    import dlib

    reference = data.astronaut()[0:256, 96:352]
    frames = np.stack([reference, np.full_like(reference, 128)])
    pair = np.broadcast_to(reference, frames.shape)
    table = score(frames, pair, metrics=("flmd-native", "flmd-one-box"), settings=Settings(detector="dlib"))
    assert table["flmd-native"][0] == table["flmd-one-box"][0] == 0.0
    assert np.isnan(table["flmd-native"][1])
    boxes, confidences, _ = dlib.get_frontal_face_detector().run(reference, 1, 0.0)
    predictor = dlib.shape_predictor(str(assets.require("dlib-68").path))
    mine, theirs = (
        np.array([(p.x, p.y) for p in predictor(frame, boxes[int(np.argmax(confidences))]).parts()])
        for frame in (frames[1], reference)
    )
    assert table["flmd-one-box"][1] == pytest.approx(np.linalg.norm(mine - theirs, axis=1).mean(), rel=1e-6)


def frame_with_face(shift_x: int = 0, shift_y: int = 0, there: int = 1, size_px: int = 256) -> np.ndarray:
    frame = np.zeros((size_px, size_px, 3), np.uint8)
    frame[0, 0] = (shift_x, shift_y, there)
    return frame


def flmd_of(frame: np.ndarray, reference: np.ndarray) -> float:
    return float(FLMD(detector=WrittenLandmarks()).score(frame[None], reference[None])[0])


def test_shift_of_three_pixels_gives_three() -> None:
    assert flmd_of(frame_with_face(3), frame_with_face()) == pytest.approx(3.0, abs=1e-5)
    assert flmd_of(frame_with_face(3, 4), frame_with_face()) == pytest.approx(5.0, abs=1e-5)


def test_distance_is_stated_at_256_pixels() -> None:
    small = flmd_of(frame_with_face(3, size_px=128), frame_with_face(size_px=128))
    assert small == pytest.approx(6.0, abs=1e-5)


def test_frame_without_a_face_is_undefined_never_imputed() -> None:
    metric = FLMD(detector=WrittenLandmarks())
    frames = np.stack([frame_with_face(2), frame_with_face(there=0), frame_with_face(1)])
    reference = np.stack([frame_with_face(), frame_with_face(), frame_with_face(there=0)])
    scores = metric.score(frames, reference)
    assert scores[0] == pytest.approx(2.0, abs=1e-5)
    assert np.isnan(scores[1:]).all()


def test_reference_frame_is_looked_at_once() -> None:
    detector = WrittenLandmarks()
    metric = FLMD(detector=detector)
    reference = frame_with_face()[None]
    for shift in range(1, 5):
        metric.score(frame_with_face(shift)[None], reference)
    assert detector.looked_at == 5


shifts = st.tuples(st.integers(0, 60), st.integers(0, 60))


@settings(max_examples=30, deadline=None)
@given(shifts, shifts)
def test_laws(one: tuple[int, int], other: tuple[int, int]) -> None:
    forward = flmd_of(frame_with_face(*one), frame_with_face(*other))
    assert forward == flmd_of(frame_with_face(*other), frame_with_face(*one))
    assert forward == pytest.approx(np.hypot(one[0] - other[0], one[1] - other[1]), abs=1e-4)


@pytest.mark.skipif(assets.locate("face-landmarker") is None, reason="no face_landmarker.task here")
def test_mediapipe_follows_a_photograph_shifted_by_known_pixels() -> None:
    pytest.importorskip("emo_bench.tracking.landmarks")
    photograph = data.astronaut()
    reference = photograph[0:256, 96:352]
    frames = np.stack([photograph[0:256, 96 - shift : 352 - shift] for shift in (0, 3, 8)])
    blank = np.full_like(frames[:1], 128)
    table = score(
        np.concatenate([frames, blank]),
        np.broadcast_to(reference, (4, 256, 256, 3)),
        metrics=("flmd",),
        names=["still", "by 3", "by 8", "no face"],
        settings=Settings(detector="mediapipe"),
    )
    assert table["flmd"]["still"] == 0.0
    # MediaPipe's own jitter under a shift stays below a third of a pixel here.
    assert table["flmd"]["by 3"] == pytest.approx(3.0, abs=0.35)
    assert table["flmd"]["by 8"] == pytest.approx(8.0, abs=0.35)
    assert np.isnan(table["flmd"]["no face"])
    record = table.attrs["records"]["flmd"]
    assert record["frames_dropped"] == ["no face"] and record["frames_scored"] == 3
    assert record["backend"]["sha256"] == assets.require("face-landmarker").sha256
