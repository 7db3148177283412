"""The reference moved through UV: exact for moves by whole pixels, and unknown where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emo_avatar.moved_reference import MovedReference, places_in_first

SIDE, LIMIT = 48, 0.02


def square(x: float, y: int, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """A flat square surface at x, y: UV ``[R, R, 2]`` that it carries with it, and its mask."""
    centres = np.arange(SIDE, dtype=np.float32) + 0.5
    across, down = np.meshgrid(centres, centres)
    uv = np.stack([(across - x) / SIDE, (down - y) / SIDE], axis=-1).astype(np.float32)
    mask = (across > x) & (across < x + side) & (down > y) & (down < y + side)
    return uv, mask


def picture(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def moved(unedited: torch.Tensor, to: tuple[int, int]) -> MovedReference:
    (uv, mask), (other_uv, other_mask) = square(8, 10), square(*to)
    return MovedReference.of(picture(), unedited, np.stack([uv, other_uv]), np.stack([mask, other_mask]), LIMIT)


def test_a_surface_takes_its_pixels_with_it() -> None:
    """Both frames before the edit show the same grey, so that every place is known."""
    found = moved(torch.zeros(2, 3, SIDE, SIDE), (13, 7))
    torch.testing.assert_close(found.images[0], picture()[0])
    ours, wanted = found.images[1, :, 7:27, 13:33], picture()[0, :, 10:30, 8:28]
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=0)
    assert (found.weights[1, 0, 7:27, 13:33] == 1.0).all()
    torch.testing.assert_close(found.images[1, :, 40:], picture()[0, :, 40:])


def test_places_are_finer_than_a_pixel() -> None:
    first, other = square(8, 10), square(12.5, 10)
    places, known = places_in_first(*first, *other, LIMIT)
    inside = known & other[1]
    inside[:, :14] = inside[:, 31:] = False
    columns = np.broadcast_to(np.arange(SIDE) + 0.5 - 4.5, (SIDE, SIDE))
    np.testing.assert_allclose(places[inside][:, 0], columns[inside], atol=0.1)


def test_what_the_first_frame_hides_is_not_known() -> None:
    uv, mask = square(8, 10)
    beyond = uv + np.float32(0.3)
    _, known = places_in_first(uv, mask, beyond, mask, LIMIT)
    assert not known[10:16, 22:28].any()
    _, known = places_in_first(uv, mask, *square(20, 10), LIMIT)
    assert not known[12:28, 8:19].any(), "background that the person hid in the first frame"
    assert known[40:].all()


@pytest.mark.parametrize(("change", "weight"), [(0.0, 1.0), (0.15, np.exp(-1.0)), (1.0, np.exp(-((1 / 0.15) ** 2)))])
def test_a_place_that_looks_different_before_the_edit_counts_less(change: float, weight: float) -> None:
    unedited = torch.zeros(2, 3, SIDE, SIDE)
    unedited[1] += change
    found = moved(unedited, (13, 7))
    assert float(found.weights[1, 0, 15, 20]) == pytest.approx(weight, abs=1e-6)
    assert float(found.weights[0].min()) == 1.0


def test_the_loss_is_the_weighted_mean_difference() -> None:
    found = moved(torch.zeros(2, 3, SIDE, SIDE), (13, 7))
    rows = torch.tensor([1])
    assert float(found.loss(found.images[rows], rows)) == 0.0
    share = float(found.weights[1].mean())
    assert float(found.loss(found.images[rows] + 0.25, rows)) == pytest.approx(0.25 * share, rel=1e-5)
    assert 0.5 < share < 1.0


def test_without_a_person_everything_stays_in_place() -> None:
    uv, mask = square(8, 10)
    none = np.zeros_like(mask)
    places, known = places_in_first(uv, none, uv, none, LIMIT)
    assert known.all()
    np.testing.assert_array_equal(places[5, 9], [9.5, 5.5])
