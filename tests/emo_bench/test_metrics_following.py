"""How a clip follows its reference's motion: series of known correlation, turns of known angles, real frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from emo_bench.actors import load
from emo_bench.metrics import Scorer
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import Face, FaceFinder, missing_detector
from emo_bench.metrics.following import GazeCorrelation, MouthCorrelation, PoseChangeError, correlated
from emo_bench.metrics.metric import Metric
from emo_bench.tracking.head_rig import EXPRESSIONS

COUNT = 40
TIMES = np.arange(COUNT)
needs_mediapipe = pytest.mark.skipif(missing_detector("mediapipe") is not None, reason="no face_landmarker.task here")


class Scripted:
    """Finds the face whose number is written in the frame's first two channels; number 65535 is no face."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self._faces = faces

    def detect(self, frame_u8: np.ndarray) -> Face | None:
        number = int(frame_u8[0, 0, 0]) * 256 + int(frame_u8[0, 0, 1])
        return None if number == 65535 else self._faces[number]


def pictures(numbers: Sequence[int]) -> np.ndarray:
    frames = np.zeros((len(numbers), 2, 2, 3), np.uint8)
    frames[:, 0, 0, 0], frames[:, 0, 0, 1] = np.asarray(numbers) // 256, np.asarray(numbers) % 256
    return frames


def scored(cls: type[Metric], mine: Sequence[Face | None], theirs: Sequence[Face | None], batch: int = 7) -> np.ndarray:
    """The scores of a clip in batches, by a detector that knows the faces."""
    known = [face for face in (*mine, *theirs) if face is not None]
    numbers = {id(face): i for i, face in enumerate(known)}
    metric = cls("cpu", FaceFinder(Scripted(known)))  # type: ignore[call-arg]
    sides = [pictures([65535 if face is None else numbers[id(face)] for face in side]) for side in (mine, theirs)]
    parts = [
        metric.score_batch(Batch(sides[0][i : i + batch], sides[1][i : i + batch])) for i in range(0, len(mine), batch)
    ]
    return metric.finish(np.concatenate(parts))


def opened(gap: float, width: float = 100.0) -> Face:
    """A face with eyes `width` apart and inner lips `gap` apart."""
    points = np.zeros((68, 2), np.float32)
    points[45, 0] = width
    points[[65, 66, 67], 1] = gap
    return Face(points)


def turned(rotvec: Sequence[float]) -> Face:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    return Face(np.zeros((68, 2), np.float32), None, matrix)


def looking(**coefficients: float) -> Face:
    expression = np.zeros(52, np.float32)
    for name, value in coefficients.items():
        expression[EXPRESSIONS.index(name)] = value
    return Face(np.zeros((68, 2), np.float32), expression)


series = st.lists(st.floats(-5, 5), min_size=12, max_size=12).filter(lambda values: np.ptp(values) > 1e-3)


@settings(max_examples=50)
@given(series, series, st.floats(0.1, 10), st.floats(-3, 3))
def test_the_mean_is_pearsons_correlation(mine: list[float], theirs: list[float], scale: float, shift: float) -> None:
    one, other = np.array(mine)[:, None], np.array(theirs)[:, None]
    expected = np.corrcoef(mine, theirs)[0, 1]
    assert correlated(one, other).mean() == pytest.approx(expected, abs=1e-9)
    assert correlated(scale * one + shift, other).mean() == pytest.approx(expected, abs=1e-6)
    assert correlated(other, other).mean() == pytest.approx(1.0)


def test_a_mouth_that_opens_as_the_drivers_has_correlation_one_whatever_its_size() -> None:
    talking = 5 + 4 * np.sin(TIMES * 0.7)
    theirs = [opened(gap) for gap in talking]
    assert scored(MouthCorrelation, [opened(0.3 * gap + 2, 60) for gap in talking], theirs).mean() == pytest.approx(1.0)
    assert scored(MouthCorrelation, [opened(20 - gap) for gap in talking], theirs).mean() == pytest.approx(-1.0)
    late = 5 + 4 * np.sin((TIMES - 2) * 0.7)
    expected = np.corrcoef(late, talking)[0, 1]
    assert scored(MouthCorrelation, [opened(gap) for gap in late], theirs).mean() == pytest.approx(expected, abs=1e-5)


def test_a_frozen_mouth_loses_the_correlation() -> None:
    theirs = [opened(gap) for gap in 5 + 4 * np.sin(TIMES * 0.7)]
    np.testing.assert_array_equal(scored(MouthCorrelation, [opened(6.0) for _ in TIMES], theirs), 0.0)
    still = scored(MouthCorrelation, theirs, [opened(6.0) for _ in TIMES])
    assert np.isnan(still).all(), "a reference that does not move says nothing about the frames"


def test_gaze_is_correlated_in_both_axes() -> None:
    rng = np.random.default_rng(1)
    across, up, other = rng.uniform(-1, 1, (3, COUNT))

    def gaze(to_left: float, upwards: float) -> Face:
        sides = {"eyeLookOutLeft": to_left, "eyeLookInLeft": -to_left, "eyeLookInRight": to_left}
        sides |= {"eyeLookOutRight": -to_left, "eyeLookUpLeft": upwards, "eyeLookDownLeft": -upwards}
        sides |= {"eyeLookUpRight": upwards, "eyeLookDownRight": -upwards}
        return looking(**{name: max(value, 0.0) for name, value in sides.items()})

    theirs = [gaze(*pair) for pair in zip(across, up, strict=True)]
    mine = [gaze(*pair) for pair in zip(0.5 * across, other, strict=True)]
    expected = (1.0 + np.corrcoef(other, up)[0, 1]) / 2
    assert scored(GazeCorrelation, mine, theirs).mean() == pytest.approx(expected, abs=1e-5)
    # Only one axis of the reference moves: the other says nothing.
    level = [gaze(x, 0.0) for x in across]
    assert scored(GazeCorrelation, mine, level).mean() == pytest.approx(1.0, abs=1e-5)


def test_a_constant_turn_of_the_head_does_not_count() -> None:
    motion = Rotation.from_rotvec(np.stack([0.3 * np.sin(TIMES), 0.2 * np.cos(1.3 * TIMES), 0.05 * TIMES % 0.2], 1))
    offset = Rotation.from_rotvec([0.2, -0.4, 0.1])
    mine, theirs = ([turned(r) for r in turns.as_rotvec()] for turns in (offset * motion, motion))
    np.testing.assert_allclose(scored(PoseChangeError, mine, theirs), 0.0, atol=0.02)


def test_doubled_head_motion_is_off_by_the_motion_itself() -> None:
    yaw = np.tile([0.2, -0.2, 0.1, -0.1], COUNT // 4)
    theirs = [turned((0, angle, 0)) for angle in yaw]
    doubled = scored(PoseChangeError, [turned((0, 2 * angle, 0)) for angle in yaw], theirs)
    np.testing.assert_allclose(doubled, np.degrees(np.abs(yaw)), atol=0.02)
    assert np.isnan(scored(PoseChangeError, theirs[:1], theirs[:1])).all(), "one frame has no motion"


@pytest.mark.parametrize("batch", [1, 3, COUNT])
def test_scores_do_not_depend_on_batches_and_leave_out_lost_faces(batch: int) -> None:
    rng = np.random.default_rng(5)
    gaps = rng.uniform(0, 10, (2, COUNT))
    mine: list[Face | None] = [opened(gap) for gap in gaps[0]]
    theirs: list[Face | None] = [opened(gap) for gap in gaps[1]]
    mine[4] = theirs[9] = None
    found = scored(MouthCorrelation, mine, theirs, batch)
    assert list(np.flatnonzero(np.isnan(found))) == [4, 9]
    one, other = np.delete(gaps, [4, 9], axis=1)
    assert np.nanmean(found) == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-5)


@needs_mediapipe
def test_real_frames_follow_themselves_and_a_still_picture_follows_nothing() -> None:
    frames = np.stack(list(load("1").frames(range(1000, 1060, 5), size=128)))
    metrics = ("mouth_correlation", "gaze_correlation", "pose_change_error_deg")
    tables = {}
    for name, mine in (("same", frames), ("still", np.repeat(frames[:1], len(frames), axis=0))):
        scorer = Scorer(metrics)
        for start in (0, 5, 10):
            scorer.add(mine[start : start + 5], frames[start : start + 5], range(start, min(start + 5, len(frames))))
        tables[name] = scorer.table().mean()
    assert tables["same"].to_numpy() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)
    assert tables["still"]["mouth_correlation"] == 0.0 == tables["still"]["gaze_correlation"]
    assert tables["still"]["pose_change_error_deg"] > 1.0
