"""The direction of an edit: cosines of changes, by an encoder whose embeddings are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from emo_avatar.edit_direction import EditDirection


def mean_colour(pictures: Tensor) -> Tensor:
    """An encoder whose embedding is the mean colour of a picture, ``[B, 3]``."""
    return pictures.mean(dim=(2, 3))


def plain(*colour: float) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 16, 16).clone()


def direction(reference: Tensor) -> EditDirection:
    """Two frames, both red before the edit."""
    return EditDirection.of(reference, plain(1.0, 0.0, 0.0).repeat(2, 1, 1, 1), mean_colour, 8)


FRAME = torch.tensor([1])


def test_the_same_change_costs_nothing_and_the_opposite_change_costs_two() -> None:
    """Embeddings have length 1: red to the direction (0.6, 0.8, 0) is a change by (-0.4, 0.8, 0)."""
    towards = direction(plain(0.6, 0.8, 0.0))
    assert float(towards.loss(plain(0.6, 0.8, 0.0), FRAME)) == pytest.approx(0.0, abs=1e-6)
    assert float(towards.loss(plain(0.3, 0.4, 0.0), FRAME)) == pytest.approx(0.0, abs=1e-6)
    cosine = (-0.4 * -0.4 + 0.8 * -0.8) / 0.8
    assert float(towards.loss(plain(0.6, -0.8, 0.0), FRAME)) == pytest.approx(1.0 - cosine, abs=1e-5)


def test_a_change_to_another_colour_is_measured_by_its_angle() -> None:
    """Red to green is (-1, 1, 0), red to blue is (-1, 0, 1): 60 degrees."""
    towards = direction(plain(0.0, 1.0, 0.0))
    assert float(towards.loss(plain(0.0, 0.0, 1.0), FRAME)) == pytest.approx(1.0 - 0.5, abs=1e-5)


def test_its_gradient_leads_towards_the_reference() -> None:
    towards = direction(plain(0.0, 1.0, 0.0))
    picture = plain(0.9, 0.05, 0.1).requires_grad_()
    before = towards.loss(picture, FRAME)
    (gradient,) = torch.autograd.grad(before, picture)
    assert towards.loss(picture.detach() - 20.0 * gradient, FRAME) < before
