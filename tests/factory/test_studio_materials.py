"""Textures and tucked skin, on shapes whose answer is known and on MakeHuman's own files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from factory.studio.makehuman import Proxy
from factory.studio.materials import EYES, LID_FULL_M, SKIN_PX, even_lids, lid_mask, load_eye, load_hair
from factory.studio.scene import TUCK_M, tucked

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
needs_assets = pytest.mark.skipif(
    not (SHARED / "makehuman" / "skins").is_dir(), reason="MakeHuman's assets are not beside the checkout"
)


def test_only_triangles_that_blink_are_lids_and_dark_lids_come_near_the_skin_around() -> None:
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    face_uv = np.array([[[0.4, 0.4], [0.44, 0.4], [0.42, 0.44]], [[0.7, 0.7], [0.8, 0.7], [0.75, 0.8]]])
    blink_m = np.array([LID_FULL_M] * 3 + [0.0] * 3)
    mask = lid_mask(faces, face_uv, blink_m)
    middle = (int(0.413 * SKIN_PX), int(0.42 * SKIN_PX))
    assert mask[middle] > 0.95 and mask[int(0.73 * SKIN_PX), int(0.75 * SKIN_PX)] == 0.0
    skin = np.full((SKIN_PX, SKIN_PX, 4), 0.6, np.float32)
    skin[..., :3] *= np.where(mask > 0.05, 0.4, 1.0)[..., None]
    even = even_lids(skin, mask)
    assert skin[middle][0] < 0.25 and even[middle][0] > 0.4
    np.testing.assert_array_equal(even[mask == 0.0], skin[mask == 0.0])


def test_skin_that_pierces_its_clothes_is_drawn_under_them_and_the_rest_stays() -> None:
    side = np.linspace(-0.1, 0.1, 21)
    x, y = np.meshgrid(side, side, indexing="ij")
    corner = (np.arange(20)[:, None] * 21 + np.arange(20)).reshape(-1)
    faces = np.concatenate(
        (np.stack((corner, corner + 21, corner + 1), 1), np.stack((corner + 1, corner + 21, corner + 22), 1))
    )
    flat = np.stack((x, y, np.zeros_like(x)), axis=-1).reshape(-1, 3)
    count = len(flat)
    base = np.repeat(np.arange(count)[:, None], 3, axis=1)
    single = np.tile([1.0, 0.0, 0.0], (count, 1))
    left = np.flatnonzero(flat[:, 0] < -0.02)
    inside = np.isin(faces, left).all(axis=1)
    renumbered = np.searchsorted(left, faces[inside])
    cloth = Proxy(
        base[left], single[left], np.zeros((len(left), 3)), np.zeros((3, 2), np.int64), np.ones(3), renumbered,
        np.zeros((inside.sum(), 3, 2)), np.zeros(0, np.int64),
    )  # fmt: skip
    moved = tucked(flat, faces, cloth)
    under, free = flat[:, 0] < -0.03, flat[:, 0] > 0.02
    np.testing.assert_array_equal(moved[free], flat[free])
    np.testing.assert_allclose(moved[under, 2], -TUCK_M, atol=1e-6)


@needs_assets
@pytest.mark.parametrize("name", EYES)
def test_irises_have_their_colour_and_whites_stay_white(name: str) -> None:
    eye = load_eye(name)
    red, green, blue = np.median(eye[195:235, 170:180, :3].reshape(-1, 3), axis=0)
    iris = eye[139:164, 395:410, :3].reshape(-1, 3).mean(axis=0)
    assert {"blue_eye": iris[2] > iris[0], "green_eye": iris[1] > iris[0], "brown_eye": iris[0] > 1.5 * iris[2]}[name]
    assert min(red, green, blue) > 0.3


@needs_assets
@pytest.mark.parametrize("style", ["long01", "short04"])
def test_hair_textures_are_grey_around_one(style: str) -> None:
    hair = load_hair(f"hair/{style}/{style}_diffuse.png")
    np.testing.assert_array_equal(hair[..., 0], hair[..., 2])
    assert 0.6 < np.median(hair[hair[..., 3] > 0.5][:, 0]) < 1.5
