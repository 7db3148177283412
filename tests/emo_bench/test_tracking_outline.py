"""Hair and shoulders from outlines: what we changed ourselves is found again, in masks made by ray casting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit_hair import change_hair, fit_hair, scalp_weights
from emo_bench.tracking.fit_motion import BodyMotion, split_motion
from emo_bench.tracking.fit_outline import Outline
from emo_bench.tracking.fit_shoulders import fit_shoulders, match_shoulders, shoulder_line
from emo_bench.tracking.fit_solver import HeadFit
from emo_bench.tracking.head_rig import Head, load_head_rig, pose_head, shift_torso
from emo_bench.tracking.uv import rasterise_uv

SIZE, FOCAL, CENTER = 128, 140.0, (64.0, 56.0)
YAWS = (-0.3, 0.0, 0.3)
CHIN_Y, EARS_Y, NOSE_Y = 66.0, 45.0, 52.0


def mean_head() -> Head:
    rig = load_head_rig()
    return rig.head_from_identity(np.zeros(len(rig.identity_basis)))


def motion_of(head: Head) -> BodyMotion:
    turns = Rotation.from_rotvec([(0.0, yaw, 0.0) for yaw in YAWS]).as_matrix()
    heads = HeadFit(turns, np.tile((0.0, 0.1, 0.7), (3, 1)), np.zeros((3, 52)))
    return split_motion(heads, head.joints.astype(np.float64), np.arange(3), 25.0)


def vertices_of(head: Head, motion: BodyMotion) -> np.ndarray:
    poses = [torch.tensor(getattr(motion, name)).float() for name in BodyMotion.__dataclass_fields__]
    return pose_head(load_head_rig(), head, torch.zeros(3, 52), *poses).numpy()


def mask_of(vertices: np.ndarray) -> np.ndarray:
    """The person in a picture; what lies below the rig's lower edge is person as well."""
    surface = rasterise_uv(load_head_rig(), vertices, FOCAL, CENTER, SIZE)[1]
    return np.maximum.accumulate(surface, axis=0)


@pytest.mark.parametrize("change", [(0.3, 0.2), (0.1, 0.4), (0.0, 0.0)])
def test_hair_is_found_from_its_masks(change: tuple[float, float]) -> None:
    head = mean_head()
    masks = [mask_of(v) for v in vertices_of(change_hair(load_head_rig(), head, *change), motion_of(head))]
    outlines = [Outline(i, mask, CHIN_Y, EARS_Y) for i, mask in enumerate(masks)]
    height, width = fit_hair(head, motion_of(head), outlines, FOCAL, CENTER)
    assert height == pytest.approx(change[0], abs=0.051)
    assert width == pytest.approx(change[1], abs=0.101)


def test_hair_leaves_face_ears_neck_and_the_inside_of_the_head_alone() -> None:
    rig, head = load_head_rig(), mean_head()
    way_m = np.abs(change_hair(rig, head, 0.5, 0.5).rest_vertices - head.rest_vertices).max(axis=1)
    moved = way_m > 1e-6
    corners = way_m[rig.landmark_vertices]
    assert (rig.landmark_barycentric * corners).sum(axis=1).max() < 0.004
    assert not moved[rig.skin_weights[:, 0] > 0.5].any()
    assert not moved[np.unique(rig.faces[rig.face_region != 0])].all()
    assert moved[head.rest_vertices[:, 1].argmin()]
    weights = scalp_weights(rig, head)
    assert weights.min() == 0.0 and weights.max() <= 1.0


@pytest.mark.parametrize(
    ("shift", "left_share"),
    [((0.0, 0.03, 0.0), 0.4), ((0.0, -0.04, 0.0), 0.4), ((0.0, 0.0, 0.12), 0.7), ((0.0, 0.02, -0.12), 0.4)],
)
def test_shoulders_are_found_from_their_mask(shift: tuple[float, float, float], left_share: float) -> None:
    """Most of the error goes; a tilt alone is a pixel or so here and is damped on purpose."""
    rig, head = load_head_rig(), mean_head()
    still = vertices_of(head, motion_of(head))[1]
    moved = shift_torso(rig, still, np.array(shift))
    found = fit_shoulders(rig, still, mask_of(moved), NOSE_Y, FOCAL, CENTER)
    wanted, got, before = (shoulder_line(mask_of(v), CHIN_Y) for v in (moved, shift_torso(rig, still, found), still))
    shown = np.maximum(np.maximum(wanted, got), before) < SIZE
    assert np.abs(got - wanted)[shown].mean() < left_share * np.abs(before - wanted)[shown].mean()
    assert found[1] == pytest.approx(shift[1], abs=0.008)


def test_shifting_the_torso_leaves_the_skull_alone() -> None:
    rig = load_head_rig()
    still = vertices_of(mean_head(), motion_of(mean_head()))[1]
    moved = shift_torso(rig, still, np.array((0.01, 0.02, 0.1)))
    skull, chest = rig.skin_weights[:, 2] > 0.9999, rig.skin_weights[:, 0] > 0.9999
    np.testing.assert_allclose(moved[skull], still[skull], atol=1e-5)
    np.testing.assert_allclose((moved - still)[chest, 2], 0.0, atol=1e-6)
    lifted = shift_torso(rig, still, np.array((0.01, 0.02, 0.0)))
    np.testing.assert_allclose((lifted - still)[chest][:, :2], [[0.01, 0.02]] * chest.sum(), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_shoulders_stay_where_nothing_is_seen_or_nothing_moved(seed: int, hidden: float) -> None:
    rng = np.random.default_rng(seed)
    line = 80.0 + 20.0 * np.abs(np.linspace(-1, 1, SIZE)) + rng.normal(0, 0.5)
    seen = rng.random(SIZE) > hidden
    np.testing.assert_array_equal(match_shoulders(line, line, seen, 64.0), np.zeros(3))


def test_a_hand_in_the_picture_does_not_move_the_shoulders() -> None:
    line = 90.0 + 20.0 * np.abs(np.linspace(-1, 1, SIZE))
    person = line.copy()
    person[5:25] = 60.0
    assert np.abs(match_shoulders(line, person, np.ones(SIZE, dtype=bool), 64.0)[1]) < 3.0
