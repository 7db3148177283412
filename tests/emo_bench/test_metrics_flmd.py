"""F-LMD against shifts whose size is known, by synthetic landmarks and by MediaPipe on a photograph."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from emo_bench import assets
from emo_bench.metrics import score
from emo_bench.metrics.flmd import FLMD


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
    )
    assert table["flmd"]["still"] == 0.0
    # MediaPipe's own jitter under a shift stays below a third of a pixel here.
    assert table["flmd"]["by 3"] == pytest.approx(3.0, abs=0.35)
    assert table["flmd"]["by 8"] == pytest.approx(8.0, abs=0.35)
    assert np.isnan(table["flmd"]["no face"])
    record = table.attrs["records"]["flmd"]
    assert record["frames_dropped"] == ["no face"] and record["frames_scored"] == 3
    assert record["backend"]["sha256"] == assets.require("face-landmarker").sha256
