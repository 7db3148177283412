"""Laws of the head rig: what it must do whatever numbers were baked into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit_landmarks import LOWER_INNER_LIP, LOWER_LIDS, UPPER_INNER_LIP, UPPER_LIDS, landmark_places
from emo_bench.tracking.head_rig import (
    EXPRESSIONS,
    Head,
    HeadRig,
    head_poses,
    load_head_rig,
    pose_head,
    project,
    rotation_matrix,
)

CHIN, NOSE_TIP, LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 152, 4, 263, 33


@pytest.fixture(scope="module")
def rig() -> HeadRig:
    return load_head_rig()


@pytest.fixture(scope="module")
def head(rig: HeadRig) -> Head:
    return rig.head_from_identity(np.zeros(len(rig.identity_basis)))


def posed_landmarks(rig: HeadRig, head: Head, action: str | None = None, **rotvecs: list[float]) -> np.ndarray:
    expression = torch.zeros(1, 52)
    if action is not None:
        expression[0, EXPRESSIONS.index(action)] = 1.0
    poses = {name: torch.zeros(1, 3) for name in ("body", "neck", "head")}
    poses |= {name: torch.tensor([value]) for name, value in rotvecs.items()}
    translation = torch.tensor([[0.0, 0.0, 1.0]])
    vertices = pose_head(rig, head, expression, poses["body"], translation, poses["neck"], poses["head"])
    corners, weights = landmark_places(rig)
    return (vertices[0].numpy()[corners] * weights[..., None]).sum(axis=1)


def test_identity_pose_faces_the_camera_upright(rig: HeadRig, head: Head) -> None:
    points = posed_landmarks(rig, head)
    assert points[NOSE_TIP, 2] == pytest.approx(points[:, 2].min(), abs=0.01)
    assert points[NOSE_TIP, 2] < head.joints[1, 2] + 1.0
    assert points[CHIN, 1] > points[NOSE_TIP, 1] > points[LEFT_EYE_CORNER, 1]
    assert points[LEFT_EYE_CORNER, 0] > 0.03 and points[RIGHT_EYE_CORNER, 0] < -0.03


def test_jaw_open_lowers_the_chin_and_parts_the_lips(rig: HeadRig, head: Head) -> None:
    rest, opened = posed_landmarks(rig, head), posed_landmarks(rig, head, "jawOpen")
    assert 0.015 < opened[CHIN, 1] - rest[CHIN, 1] < 0.06
    gap = (opened - rest)[list(LOWER_INNER_LIP), 1].min() - (opened - rest)[list(UPPER_INNER_LIP), 1].max()
    assert gap > 0.005


@pytest.mark.parametrize(("action", "half"), [("eyeBlinkRight", slice(0, 7)), ("eyeBlinkLeft", slice(7, 14))])
def test_blink_lowers_the_upper_lid_of_its_own_side(rig: HeadRig, head: Head, action: str, half: slice) -> None:
    moved = posed_landmarks(rig, head, action) - posed_landmarks(rig, head)
    own = moved[list(UPPER_LIDS)[half], 1]
    other = np.delete(moved[list(UPPER_LIDS), 1], np.r_[half])
    assert own.max() > 0.007 and own.min() > 0.002
    assert np.abs(other).max() < 1e-4
    assert np.abs(moved[list(LOWER_LIDS), 1]).max() < 0.003


def test_turning_the_head_leaves_the_chest_alone(rig: HeadRig, head: Head) -> None:
    still = torch.zeros(1, 3)
    shift = torch.tensor([[0.0, 0.0, 1.0]])
    turned = torch.tensor([[0.0, 0.4, 0.0]])
    rest = pose_head(rig, head, torch.zeros(1, 52), still, shift, still, still)[0].numpy()
    moved = pose_head(rig, head, torch.zeros(1, 52), still, shift, still, turned)[0].numpy()
    chest, skull = rig.skin_weights[:, 0] > 0.999, rig.skin_weights[:, 2] > 0.999
    assert chest.sum() > 100 and skull.sum() > 1000
    np.testing.assert_allclose(moved[chest], rest[chest], atol=2e-5)
    joint = head.joints[1] + np.array((0.0, 0.0, 1.0))
    expected = (rest[skull] - joint) @ Rotation.from_rotvec((0.0, 0.4, 0.0)).as_matrix().T + joint
    np.testing.assert_allclose(moved[skull], expected, atol=1e-3)


def test_rotations_and_head_poses_agree_with_scipy(head: Head) -> None:
    rng = np.random.default_rng(3)
    body, neck, tip = (rng.normal(0.0, 0.5, (6, 3)) for _ in range(3))
    shift = rng.normal(0.0, 1.0, (6, 3))
    np.testing.assert_allclose(rotation_matrix(torch.tensor(body)), Rotation.from_rotvec(body).as_matrix(), atol=1e-9)
    poses = head_poses(head, *(torch.tensor(x) for x in (body, shift, neck, tip))).numpy()
    trunk, throat = Rotation.from_rotvec(body), Rotation.from_rotvec(body) * Rotation.from_rotvec(neck)
    np.testing.assert_allclose(poses[:, :3, :3], (throat * Rotation.from_rotvec(tip)).as_matrix(), atol=1e-6)
    joints = head.joints.astype(np.float64)
    origin = trunk.apply(joints[0]) + shift + throat.apply(joints[1] - joints[0])
    np.testing.assert_allclose(poses[:, :3, 3], origin, atol=1e-6)


def test_projection_follows_the_pinhole_formula() -> None:
    got = project(torch.tensor([[0.1, -0.2, 2.0]]), 500.0, torch.tensor([64.0, 60.0]))
    np.testing.assert_allclose(got, [[89.0, 10.0]], atol=1e-4)


def test_rig_arrays_are_sound(rig: HeadRig) -> None:
    assert rig.faces.min() == 0 and rig.faces.max() == len(rig.base_vertices) - 1
    assert rig.face_uv.min() >= 0.0 and rig.face_uv.max() <= 1.0
    np.testing.assert_allclose(rig.skin_weights.sum(axis=1), 1.0, atol=1e-4)
    assert np.all(np.diff(rig.base_vertices) > 0)
    spread = np.linalg.norm(rig.identity_basis, axis=2).mean(axis=1)
    assert spread[0] > spread[-1] > 0.0
