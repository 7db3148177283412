"""Strokes: they lie on the surface, stay off what the reference does not show well, and add nothing at first."""

from __future__ import annotations

import math

import pytest
import torch

from emo_avatar.stroke_skip import StrokeSkip, seen_from_the_front

SIDE = 32
EVERYWHERE = torch.ones(SIDE, SIDE)


def flat_uv(shift_px: int = 0) -> torch.Tensor:
    """``[1, R, R, 2]``: a flat surface that fills the picture, shifted to the right."""
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    u, v = torch.meshgrid(steps - shift_px / SIDE, steps, indexing="xy")
    return torch.stack((u, v), dim=-1)[None]


def full_mask() -> torch.Tensor:
    return torch.ones(1, 1, SIDE, SIDE)


def skip(allowed: torch.Tensor = EVERYWHERE, still: torch.Tensor = EVERYWHERE) -> StrokeSkip:
    made = StrokeSkip(SIDE, SIDE)
    made.limit(flat_uv()[0], torch.ones(SIDE, SIDE, dtype=torch.bool), allowed, still)
    return made


def painted(made: StrokeSkip) -> torch.Tensor:
    """Paint the finest level with noise and return it, ``[1, 3, SIDE, SIDE]``."""
    torch.manual_seed(0)
    with torch.no_grad():
        return made.surface.levels[0].normal_().clone()


def test_it_adds_nothing_until_it_is_trained() -> None:
    assert torch.equal(skip()(flat_uv(), full_mask()), torch.zeros(1, 3, SIDE, SIDE))


def test_strokes_move_with_the_surface() -> None:
    made = skip()
    paint = painted(made)
    torch.testing.assert_close(made(flat_uv(), full_mask()), paint)
    torch.testing.assert_close(made(flat_uv(5), full_mask())[..., 5:], paint[..., :-5])


def test_the_background_has_strokes_only_where_it_is_still_and_nobody_is_in_front() -> None:
    still = EVERYWHERE.clone()
    still[:, :8] = 0.0
    made = skip(still=still)
    with torch.no_grad():
        made.background.fill_(0.5)
    mask = full_mask()
    mask[..., 16:] = 0.0
    added = made(flat_uv(), mask)
    assert not added[..., :16].any()
    assert (added[..., 16:] == 0.5).all()
    assert not made(flat_uv(), torch.zeros_like(mask))[..., :8].any()


def test_places_that_are_not_allowed_stay_without_strokes() -> None:
    allowed = EVERYWHERE.clone()
    allowed[:, SIDE // 2 :] = 0.4
    made = skip(allowed)
    painted(made)
    added = made(flat_uv(), full_mask())
    coarse = SIDE // made.seen.shape[-1]
    assert added[..., : SIDE // 2 - coarse].abs().amin(dim=1).min() > 0.0
    assert not added[..., SIDE // 2 + coarse :].any()


def test_a_cylinder_is_seen_from_the_front_up_to_its_slanted_sides() -> None:
    """On a cylinder of radius r, the angle changes by 1 / sqrt(1 - (x / r)**2) a pixel."""
    side, radius = 128, 50.0
    x = (torch.arange(side) + 0.5 - side / 2) / radius
    angle = torch.asin(x.clamp(-1, 1)) / math.pi + 0.5
    v = torch.full((side, side), 0.5)
    uv = torch.stack((angle.expand(side, side), v), dim=-1)
    mask = (x.abs() < 1).expand(side, side)
    front = seen_from_the_front(uv, mask)[side // 2]
    assert front[x.abs() < 0.8].all()
    assert not front[x.abs() > 0.95].any()


@pytest.mark.parametrize("covered", [0, 3])
def test_a_surface_without_an_inside_is_not_seen(covered: int) -> None:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[9 : 9 + covered, 9 : 9 + covered] = True
    assert not seen_from_the_front(flat_uv()[0], mask).any()
