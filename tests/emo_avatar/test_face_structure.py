"""The structure term: blind to colour, not to displacement, and only where a face has edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from emo_avatar.face_structure import FaceStructure, face_region, landmark_weights, local_correlation

ROW = torch.tensor([0])


def portrait() -> torch.Tensor:
    """``[1, 3, 128, 128]`` in [-1, 1]: the astronaut's face."""
    crop = data.astronaut()[40:168, 160:288]
    return torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0


def points() -> torch.Tensor:
    """``[1, 68, 2]`` px spread over that face."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(40, 88, (1, 68, 2))).float()


@pytest.fixture(scope="module")
def structure() -> FaceStructure:
    return FaceStructure.of(portrait(), points())


@given(gain=st.floats(0.7, 1.0), offset=st.floats(-0.3, 0.3))
@settings(max_examples=15, deadline=None)
def test_brightness_and_contrast_cost_almost_nothing(structure: FaceStructure, gain: float, offset: float) -> None:
    assert structure.loss(portrait(), ROW) < 1e-5
    assert structure.loss(gain * portrait() + offset, ROW) < 0.02


def test_the_further_features_move_the_more_it_costs(structure: FaceStructure) -> None:
    costs = [float(structure.loss(portrait().roll(step, dims=3), ROW)) for step in range(4)]
    assert costs == sorted(costs) and costs[0] < 1e-5 and costs[1] > 0.05 and costs[3] > 0.3


def test_what_lies_far_from_the_landmarks_is_free_to_change(structure: FaceStructure) -> None:
    changed = portrait()
    changed[:, :, :20] = torch.rand(1, 3, 20, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert structure.loss(changed, ROW) == pytest.approx(float(structure.loss(portrait(), ROW)), abs=1e-4)


def test_correlation_of_a_picture_with_itself_and_with_its_negative() -> None:
    rng = np.random.default_rng(1)
    a = torch.from_numpy(rng.standard_normal((1, 1, 96, 96))).float()
    assert local_correlation(a, a)[0, 0, 48, 48] == pytest.approx(1.0, abs=0.01)
    assert local_correlation(a, -a)[0, 0, 48, 48] == pytest.approx(-1.0, abs=0.01)


def test_weights_peak_at_the_landmarks_and_vanish_without_them() -> None:
    marks = torch.full((2, 68, 2), 20.5)
    marks[1] = torch.nan
    weights = landmark_weights(marks, 64)
    assert weights.shape == (2, 1, 64, 64)
    assert weights[0, 0, 20, 20] == 1.0 and weights[0, 0, 20, 40] < 1e-6
    assert not weights[1].any()


def test_its_gradient_pulls_a_displaced_picture_back(structure: FaceStructure) -> None:
    moved = portrait().roll(2, dims=3).requires_grad_()
    before = structure.loss(moved, ROW)
    (gradient,) = torch.autograd.grad(before, moved)
    assert structure.loss(moved.detach() - 50.0 * gradient, ROW) < before


def test_forehead_and_neck_are_as_high_as_the_thirds_of_the_face_beside_them() -> None:
    """Brows at y = 40, the base of the nose at 55, the chin at 70, on an axis at x = 50."""
    marks = np.tile(np.array([50.0, 55.0]), (68, 1))
    turn = np.linspace(0, np.pi, 17)
    marks[:17] = np.stack([50 - 20 * np.cos(turn), 40 + 30 * np.sin(turn)], axis=1)
    marks[17:27] = np.stack([np.linspace(32, 68, 10), np.full(10, 40.0)], axis=1)
    region = face_region(marks, 100)
    rows = np.flatnonzero(region[:, 50])
    assert (rows[0], rows[-1]) == (25, 91)
    assert not region[:, :30].any() and not region[:, 70:].any()
    assert region[50, 35:65].all()
