"""The torso's outline: a torso that we changed ourselves is found again, and a good one is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit_motion import BodyMotion, split_motion
from emo_bench.tracking.fit_outline import Outline
from emo_bench.tracking.fit_solver import HeadFit
from emo_bench.tracking.fit_torso import change_torso, fit_torso
from emo_bench.tracking.head_rig import Head, load_head_rig, pose_head
from emo_bench.tracking.silhouette import silhouette
from emo_bench.tracking.uv import rasterise_uv

SIZE, FOCAL, CENTER = 128, 140.0, (64.0, 56.0)
YAWS = (-0.3, 0.0, 0.3)


def moved(head: Head) -> tuple[HeadFit, BodyMotion]:
    turns = Rotation.from_rotvec([(0.0, yaw, 0.0) for yaw in YAWS]).as_matrix()
    heads = HeadFit(turns, np.tile((0.0, 0.1, 0.7), (3, 1)), np.zeros((3, 52)))
    return heads, split_motion(heads, head.joints.astype(np.float64), np.arange(3), 25.0)


def masks_of(head: Head, motion: BodyMotion) -> list[np.ndarray]:
    rig = load_head_rig()
    poses = [torch.tensor(getattr(motion, name)).float() for name in BodyMotion.__dataclass_fields__]
    vertices = pose_head(rig, head, torch.zeros(3, 52), *poses).numpy()
    masks = [rasterise_uv(rig, v, FOCAL, CENTER, SIZE)[1] for v in vertices]
    return [np.maximum.accumulate(mask, axis=0) for mask in masks]


@pytest.mark.parametrize("change", [(0.03, 1.2), (0.05, 0.9), (0.0, 1.0)])
def test_a_changed_torso_is_found_from_its_masks(change: tuple[float, float]) -> None:
    rig = load_head_rig()
    head = rig.head_from_identity(np.zeros(len(rig.identity_basis)))
    truth = change_torso(rig, head, *change)
    outlines = [Outline(i, mask, 66.0, 45.0) for i, mask in enumerate(masks_of(truth, moved(truth)[1]))]
    raise_m, width = fit_torso(head, moved(head)[1], outlines, FOCAL, CENTER)
    assert raise_m == pytest.approx(change[0], abs=0.011)
    assert width == pytest.approx(change[1], abs=0.101)


def test_changing_the_torso_leaves_the_skull_alone() -> None:
    rig = load_head_rig()
    head = rig.head_from_identity(np.zeros(len(rig.identity_basis)))
    changed = change_torso(rig, head, 0.04, 1.2)
    skull, chest = rig.skin_weights[:, 2] > 0.9999, rig.skin_weights[:, 0] > 0.9999
    np.testing.assert_allclose(changed.rest_vertices[skull], head.rest_vertices[skull], atol=1e-5)
    np.testing.assert_array_equal(changed.joints[1], head.joints[1])
    lifted = head.rest_vertices[chest, 1] - changed.rest_vertices[chest, 1]
    np.testing.assert_allclose(lifted, 0.04, atol=1e-4)


def test_silhouette_of_a_dense_disc_is_the_disc() -> None:
    rng = np.random.default_rng(0)
    radius, angle = 30.0 * np.sqrt(rng.random(6000)), 2 * np.pi * rng.random(6000)
    points = 64.0 + np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
    yy, xx = np.mgrid[:128, :128] + 0.5
    disc = (xx - 64) ** 2 + (yy - 64) ** 2 < 900
    found = silhouette(points, 128)
    assert (found & disc).sum() / (found | disc).sum() > 0.95
