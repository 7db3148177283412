"""Drawings: flat tones, ink on the dark side of edges and as much on dark skin as on light, and nothing moves."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import color, data, registration

from emo_bench.pictures.drawings import drawn, in_tones, lines

SIDE = 96


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """The astronaut's face, uint8 [128, 128, 3]."""
    return data.astronaut()[40:168, 160:288].copy()


def edge(dark: float, bright: float) -> np.ndarray:
    """``[96, 96]`` float32: dark left of the middle, bright right of it."""
    plane = np.full((SIDE, SIDE), dark, dtype=np.float32)
    plane[:, SIDE // 2 :] = bright
    return plane


def test_a_plain_picture_without_tones_and_lines_keeps_its_colour() -> None:
    plain = np.full((SIDE, SIDE, 3), (180, 120, 90), dtype=np.uint8)
    assert np.abs(drawn(plain, tones=0, saturation=1.0).astype(int) - plain).max() <= 1
    assert np.ptp(drawn(plain), axis=(0, 1)).max() == 0


def test_saturation_is_that_of_cielab() -> None:
    plain = np.full((SIDE, SIDE, 3), (150, 120, 110), dtype=np.uint8)
    before, after = (color.rgb2lab(each[0, 0] / 255.0) for each in (plain, drawn(plain, tones=0, saturation=1.5)))
    np.testing.assert_allclose(after[1:], 1.5 * before[1:], atol=0.8)
    assert after[0] == pytest.approx(before[0], abs=0.8)


@pytest.mark.parametrize("tones", [2, 3, 5])
def test_brightness_gathers_at_the_middles_of_the_tones(tones: int) -> None:
    ramp = np.linspace(0, 1, 2001, dtype=np.float32)
    made = in_tones(ramp, tones)
    assert (np.diff(made) >= -1e-5).all()
    assert made[0] == pytest.approx(0.0, abs=1e-4) and made[-1] == pytest.approx(1.0, abs=1e-4)
    middles = (np.arange(tones) + 0.5) / tones
    np.testing.assert_allclose(in_tones(middles.astype(np.float32), tones), middles, atol=1e-5)


def test_ink_lies_on_the_dark_side_of_an_edge_and_is_as_wide_as_asked() -> None:
    for width in (1.0, 2.0):
        ink = lines(edge(0.3, 0.7), width, 0.02)[SIDE // 2]
        inked = np.flatnonzero(ink > 0.5)
        assert inked.max() < SIDE // 2 <= inked.max() + 1 + width
        assert width <= len(inked) <= 5 * width
        assert ink[: SIDE // 4].max() == 0.0 == ink[-SIDE // 4 :].max()


def test_dark_skin_gets_the_lines_of_light_skin() -> None:
    light, dark = (lines(edge(0.4 * gain, 0.8 * gain), 1.5, 0.02)[SIDE // 2] for gain in (1.0, 0.4))
    assert light.max() > 0.4 and 0.5 < dark.max() / light.max() <= 1.0
    assert abs(int(light.argmax()) - int(dark.argmax())) <= 1


def test_nothing_moves(portrait: np.ndarray) -> None:
    made = drawn(portrait)
    shift, *_ = registration.phase_cross_correlation(color.rgb2gray(portrait), color.rgb2gray(made), upsample_factor=10)
    assert np.abs(shift).max() <= 0.3
    assert made.shape == portrait.shape and made.dtype == np.uint8
    assert (made.max(axis=2) < 60).mean() > 1.3 * (portrait.max(axis=2) < 60).mean()


def test_more_lines_at_a_lower_contrast_and_none_without_width(portrait: np.ndarray) -> None:
    dark = [(drawn(portrait, line_contrast=c).max(axis=2) < 40).mean() for c in (0.005, 0.02, 0.2)]
    assert dark[0] > dark[1] > dark[2]
    assert np.array_equal(drawn(portrait, line_share=0.0), drawn(portrait, line_share=0.0, line_contrast=0.5))
