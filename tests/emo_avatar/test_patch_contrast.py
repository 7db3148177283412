"""Equation 3 against its formula, gradients through the keys, patches of known pictures, matching by a known shift."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_avatar.patch_contrast import cut_patches, draw_centres, matching_centres, patch_nce


def naive(queries: np.ndarray, keys: np.ndarray, temperature: float) -> float:
    """Equation 3, term by term."""
    losses = []
    for i, v in enumerate(queries):
        positive = math.exp(v @ keys[i] / temperature)
        negatives = sum(math.exp(v @ key / temperature) for j, key in enumerate(keys) if j != i)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("temperature", "normalize"), [(1.0, False), (0.07, True)])
def test_loss_is_the_papers_formula(temperature: float, normalize: bool) -> None:
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(2, 6, 5))
    ours = patch_nce(torch.from_numpy(queries), torch.from_numpy(keys), temperature, normalize)
    if normalize:
        queries, keys = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, keys))
    assert float(ours) == pytest.approx(naive(queries, keys, temperature), rel=1e-9)


def test_gradients_flow_through_the_keys_alone() -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    patch_nce(queries, keys).backward()
    assert queries.grad is None
    assert keys.grad is not None and bool((keys.grad.abs().sum(dim=1) > 0).all())
    keys, step = keys.detach(), keys.grad
    assert float(patch_nce(queries.detach(), keys - 0.01 * step)) < float(patch_nce(queries.detach(), keys))


def test_patches_of_a_ramp_are_the_ramp_there() -> None:
    x = torch.arange(32) + 0.5
    ramp = torch.stack((x.expand(32, 32), x[:, None].expand(32, 32)))[None].double()
    centres = torch.tensor([[12.0, 20.0], [16.5, 9.25], [0.0, 31.0]], dtype=torch.float64)
    patches = cut_patches(ramp, centres, side_px=8.0, out_px=16)
    assert patches.shape == (3, 2, 16, 16)
    offsets = (torch.arange(16, dtype=torch.float64) + 0.5) / 2 - 4
    inside = centres.clamp(4.0, 28.0)
    # torch's cubic kernel (a = -0.75) bends a ramp by up to 0.047.
    for patch, (cx, cy) in list(zip(patches, inside, strict=True))[:2]:
        torch.testing.assert_close(patch[0], (cx + offsets).expand(16, 16), rtol=0, atol=0.05)
        torch.testing.assert_close(patch[1], (cy + offsets)[:, None].expand(16, 16), rtol=0, atol=0.05)


def test_a_patch_sends_its_gradient_to_its_own_pixels() -> None:
    picture = torch.zeros(1, 3, 32, 32, requires_grad=True)
    cut_patches(picture, torch.tensor([[10.0, 22.0]]), side_px=6.0, out_px=12).sum().backward()
    assert picture.grad is not None
    rows, columns = torch.nonzero(picture.grad[0, 0], as_tuple=True)
    assert columns.min() >= 10 - 3 - 2 and columns.max() <= 10 + 3 + 1
    assert rows.min() >= 22 - 3 - 2 and rows.max() <= 22 + 3 + 1
    assert float(picture.grad[0, 0, 22, 10]) > 0


def ramp_uv(size: int, shift: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A square surface whose UV rises with x and y, moved by whole pixels; beyond the surface nothing is defined."""
    columns, rows = np.meshgrid(np.arange(size) - shift[0], np.arange(size) - shift[1])
    mask = (columns >= 8) & (columns < 24) & (rows >= 8) & (rows < 24)
    return np.stack([columns, rows], axis=-1) / size * mask[..., None], mask


@settings(max_examples=30, deadline=None)
@given(dx=st.integers(-12, 12), dy=st.integers(-12, 12))
def test_matching_finds_an_analytic_shift(dx: int, dy: int) -> None:
    size = 32
    uv, mask = ramp_uv(size, (0, 0))
    other_uv, other_mask = ramp_uv(size, (dx, dy))
    centres = np.array([[x + 0.5, y + 0.5] for x in range(2, 31, 4) for y in range(2, 31, 4)], dtype=np.float32)
    where, found = matching_centres(centres, uv, mask, other_uv, other_mask, limit=0.5 / size)
    moved = centres + np.array([dx, dy])
    on_surface = mask[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    visible = on_surface & ((moved >= 0) & (moved < size)).all(axis=1)
    assert np.array_equal(found, visible)
    np.testing.assert_allclose(where[found], moved[found])


def test_nothing_matches_a_frame_without_the_surface() -> None:
    uv, mask = ramp_uv(32, (0, 0))
    _, found = matching_centres(np.full((3, 2), 15.5, np.float32), uv, mask, uv, np.zeros_like(mask), 0.1)
    assert not found.any()


def test_centres_lie_on_the_person_as_often_as_asked() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:9, 30:35] = True
    centres = draw_centres(mask, 200, 0.75, np.random.default_rng(0))
    on = mask[centres[:, 1].astype(int), centres[:, 0].astype(int)]
    assert 150 <= on.sum() < 165
    assert (centres >= 0).all() and (centres < 40).all()
