"""The fit recovers heads that we made ourselves, and its time filters keep their laws."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit import fit_identity, fit_track, key_rows, rotations_from_mediapipe
from emo_bench.tracking.fit_landmarks import load_landmark_model
from emo_bench.tracking.fit_motion import smooth, smooth_heads, smooth_rotations, split_motion
from emo_bench.tracking.fit_solver import (
    HeadFit,
    Observation,
    Person,
    fit_heads,
    place_heads,
    project_heads,
    reprojection_errors,
)
from emo_bench.tracking.head_rig import EXPRESSIONS, load_head_rig
from emo_bench.tracking.landmarks import inter_ocular_px

PICTURE_PX = (640, 480)
CENTER = np.array((320.0, 240.0))


def synthetic(count: int, focal_px: float, seed: int) -> tuple[Person, HeadFit, np.ndarray]:
    """A random person in random poses and their exact landmarks."""
    rng = np.random.default_rng(seed)
    model = load_landmark_model()
    person = Person(rng.normal(0.0, 0.7, len(model.identity)), focal_px, model)
    angles = np.stack((rng.uniform(-0.2, 0.2, count), rng.uniform(-0.5, 0.5, count), np.zeros(count)), axis=1)
    translation = np.array((0.0, 0.12, 0.9)) + rng.normal(0.0, 0.02, (count, 3))
    expression = rng.uniform(0.0, 0.5, (count, 52)) * (rng.random((count, 52)) < 0.15)
    expression[:, EXPRESSIONS.index("tongueOut")] = 0.0
    heads = HeadFit(Rotation.from_rotvec(angles).as_matrix(), translation, expression)
    return person, heads, project_heads(person, heads, CENTER)


def observed(landmarks: np.ndarray, blendshapes: np.ndarray) -> Observation:
    return Observation(landmarks, blendshapes, inter_ocular_px(landmarks), CENTER)


def test_known_person_gives_back_pose_and_expression() -> None:
    person, heads, landmarks = synthetic(6, 700.0, seed=1)
    start = place_heads(
        person, np.tile(np.eye(3), (6, 1, 1)), heads.expression * 0.5, observed(landmarks, heads.expression)
    )
    found = fit_heads(person, start, observed(landmarks, heads.expression), iterations=25)
    turn = (Rotation.from_matrix(found.rotation).inv() * Rotation.from_matrix(heads.rotation)).magnitude()
    assert np.rad2deg(turn).max() < 0.1
    np.testing.assert_allclose(found.translation, heads.translation, atol=2e-3)
    np.testing.assert_allclose(found.expression, heads.expression, atol=0.03)


@pytest.mark.parametrize("focal_px", [620.0, 1100.0])
def test_unknown_person_gives_back_focal_length_pose_and_shape(focal_px: float) -> None:
    person, heads, landmarks = synthetic(16, focal_px, seed=2)
    noisy = landmarks + np.random.default_rng(0).normal(0.0, 0.05, landmarks.shape)
    seen = observed(noisy, heads.expression)
    fitted = fit_identity(heads.rotation, seen, focal_prior_px=1.3 * PICTURE_PX[0])
    assert fitted.focal_px == pytest.approx(focal_px, rel=0.05)
    again = fit_heads(fitted, place_heads(fitted, heads.rotation, heads.expression, seen), seen, iterations=20)
    turn = (Rotation.from_matrix(again.rotation).inv() * Rotation.from_matrix(heads.rotation)).magnitude()
    assert np.rad2deg(turn).mean() < 1.0
    assert reprojection_errors(fitted, again, seen).mean() < 0.005
    model = load_landmark_model()
    truth = model.rest(person.coefficients, np.zeros((1, 52)))[0]
    shape = fitted.model.rest(fitted.coefficients, np.zeros((1, 52)))[0]
    mean = model.rest(np.zeros(len(model.identity)), np.zeros((1, 52)))[0]

    # Size is unknown to one camera, so shapes are compared up to a similarity.
    assert procrustes(truth, shape)[2] < 0.25 * procrustes(truth, mean)[2]


def test_whole_track_of_a_synthetic_video_reprojects_through_the_rig() -> None:
    person, _, _ = synthetic(1, 800.0, seed=4)
    count, fps = 40, 25.0
    frames = np.delete(np.arange(count + 3), (10, 11, 12))
    time_s = frames / fps
    angles = np.stack((0.1 * np.sin(2 * time_s), 0.4 * np.sin(3 * time_s), 0 * time_s), axis=1)
    shift = np.array((0.0, 0.1, 0.8)) + 0.01 * np.stack((np.sin(time_s), np.cos(time_s), 0 * time_s), axis=1)
    expression = np.zeros((count, 52))
    expression[:, EXPRESSIONS.index("jawOpen")] = 0.3 + 0.2 * np.sin(5 * time_s)
    heads = HeadFit(Rotation.from_rotvec(angles).as_matrix(), shift, expression)
    landmarks = project_heads(person, heads, CENTER)
    flip = np.diag((1.0, -1.0, -1.0, 1.0))
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = heads.rotation
    fit = fit_track(landmarks, expression, flip @ matrices @ flip, frames, picture_px=PICTURE_PX, fps=fps)
    assert fit.errors.mean() < 0.01
    assert fit.heads.expression.min() >= 0.0 and fit.heads.expression.max() <= 1.0
    jaw = EXPRESSIONS.index("jawOpen")
    assert np.corrcoef(fit.heads.expression[:, jaw], expression[:, jaw])[0, 1] > 0.98
    yaw = Rotation.from_rotvec(fit.motion.body_rotvec) * Rotation.from_rotvec(fit.motion.neck_rotvec)
    yaw = yaw * Rotation.from_rotvec(fit.motion.head_rotvec)
    assert np.abs(yaw.as_rotvec()[:, 1] - angles[:, 1]).max() < np.deg2rad(4.0)
    assert fit.motion.body_rotvec[:, 1].std() < 0.25 * angles[:, 1].std()


def test_split_keeps_the_head_exactly_where_it_was() -> None:
    _, heads, _ = synthetic(30, 700.0, seed=5)
    joints = load_head_rig().joints_mean.astype(np.float64)
    motion = split_motion(heads, joints, np.arange(30), 25.0)
    body, neck, tip = (Rotation.from_rotvec(v) for v in (motion.body_rotvec, motion.neck_rotvec, motion.head_rotvec))
    np.testing.assert_allclose((body * neck * tip).as_matrix(), heads.rotation, atol=1e-9)
    head_joint = body.apply(joints[0]) + motion.body_translation + (body * neck).apply(joints[1] - joints[0])
    expected = np.einsum("bij,j->bi", heads.rotation, joints[1]) + heads.translation
    np.testing.assert_allclose(head_joint, expected, atol=1e-9)


def test_smoothing_keeps_constants_and_lines_and_ignores_gaps() -> None:
    frames = np.delete(np.arange(60), np.arange(20, 30))
    np.testing.assert_allclose(smooth(np.full((50, 2), 3.0), frames, 2.0), 3.0)
    whole = np.arange(60)
    line = whole[:, None] * 0.5
    np.testing.assert_allclose(smooth(line, whole, 2.0)[10:50], line[10:50], atol=1e-9)
    noise = np.random.default_rng(0).normal(size=(60, 1))
    assert smooth(noise, whole, 2.0).std() < 0.6 * noise.std()


def test_rotation_smoothing_survives_quaternion_sign_flips() -> None:
    angles = np.linspace(-3.0, 3.0, 61)
    turns = Rotation.from_rotvec(np.stack((0 * angles, angles, 0 * angles), axis=1)).as_matrix()
    smoothed = Rotation.from_matrix(smooth_rotations(turns, np.arange(61), 1.0))
    off = (smoothed.inv() * Rotation.from_matrix(turns)).magnitude()
    assert off[5:-5].max() < 1e-3


def test_mediapipe_matrices_flip_two_axes() -> None:
    matrix = np.eye(4)[None].copy()
    matrix[0, :3, :3] = Rotation.from_rotvec((0.0, 0.3, 0.0)).as_matrix() * 1.7
    turned = Rotation.from_matrix(rotations_from_mediapipe(matrix)).as_rotvec()
    np.testing.assert_allclose(turned, [[0.0, -0.3, 0.0]], atol=1e-9)


def test_key_rows_reach_the_extremes() -> None:
    yaw = np.linspace(-0.5, 0.5, 101)
    turns = Rotation.from_rotvec(np.stack((0 * yaw, yaw, 0 * yaw), axis=1)).as_matrix()
    rows = key_rows(turns, np.zeros((101, 52)), 5)
    assert {0, 50, 100} <= set(rows.tolist()) and len(rows) == 5


def test_memory_of_a_fit_does_not_grow_with_the_landmarks() -> None:
    """An hour has 90,000 frames: what needs all landmarks of a frame is computed for a few frames at a time."""
    person, heads, landmarks = synthetic(1000, 700.0, seed=5)
    seen, peaks = observed(landmarks.astype(np.float32), heads.expression), {}
    for count in (500, 1000):
        first = slice(count)
        part = Observation(seen.landmarks[first], seen.blendshapes[first], seen.scale_px[first], CENTER)
        tracemalloc.start()
        try:
            reprojection_errors(person, smooth_heads(person, heads[first], part, np.arange(count), 25.0), part)
            peaks[count] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # The pose and the expression of a frame take about 1 kB; its projected landmarks in float64 take 11 kB.
    assert (peaks[1000] - peaks[500]) / 500 < 4000
