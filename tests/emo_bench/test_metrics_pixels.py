"""PSNR and SSIM against scikit-image, SD against a naive loop, and the laws they must keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from emo_bench.metrics import score

PORTRAIT = data.astronaut()
CAT = data.chelsea()

frames_st = st.tuples(st.integers(1, 3), st.integers(12, 16), st.integers(12, 16)).flatmap(
    lambda shape: st.tuples(arrays(np.uint8, (*shape, 3)), arrays(np.uint8, (*shape, 3)))
)


def degraded() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    crop = PORTRAIT[:200, 120:333]
    noisy = np.clip(crop + rng.normal(0, 12, crop.shape), 0, 255).astype(np.uint8)
    return [(noisy, crop), (np.roll(crop, 3, axis=1), crop), (255 - crop, crop), (CAT[:200, :213], crop)]


@pytest.mark.parametrize(("frame", "reference"), degraded())
def test_psnr_and_ssim_are_scikit_images(frame: np.ndarray, reference: np.ndarray) -> None:
    scores = score(frame[None], reference[None], metrics=("psnr", "ssim")).iloc[0]
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(reference, frame), abs=1e-9)
    expected = structural_similarity(
        frame,
        reference,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert scores["ssim"] == pytest.approx(expected, abs=1e-5)


def test_ssim_keeps_its_precision_in_flat_bright_regions() -> None:
    rng = np.random.default_rng(1)
    bright = rng.integers(250, 256, size=(40, 40, 3), dtype=np.uint8)
    other = rng.integers(250, 256, size=(40, 40, 3), dtype=np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(bright, other, channel_axis=2, data_range=255, **options)
    assert score(bright[None], other[None], metrics=("ssim",))["ssim"][0] == pytest.approx(expected, abs=1e-4)


def test_sd_is_the_naive_loops() -> None:
    frame, reference = PORTRAIT[80:97, 200:219], CAT[100:117, 150:169]
    total, count = 0.0, 0
    for y in range(1, frame.shape[0]):
        for x in range(1, frame.shape[1]):
            for c in range(3):
                sums = []
                for image in (frame, reference):
                    here = int(image[y, x, c])
                    sums.append(abs(here - int(image[y - 1, x, c])) + abs(here - int(image[y, x - 1, c])))
                total += abs(sums[0] - sums[1])
                count += 1
    assert score(frame[None], reference[None], metrics=("sd",))["sd"][0] == pytest.approx(total / count)


def test_sd_of_a_step_edge_is_the_analytic_value() -> None:
    edge = np.zeros((9, 9, 3), np.uint8)
    edge[:, 4:] = 100
    flat = np.zeros_like(edge)
    # One of the eight interior columns has a gradient of 100.
    assert score(edge[None], flat[None], metrics=("sd",))["sd"][0] == pytest.approx(100 / 8)


@settings(max_examples=25, deadline=None)
@given(frames_st)
def test_laws_of_pixel_metrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    frames, reference = pair
    metrics = ("psnr", "ssim", "sd")
    forward = score(frames, reference, metrics=metrics)
    backward = score(reference, frames, metrics=metrics)
    np.testing.assert_allclose(forward, backward, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(forward, score(frames, reference, metrics=metrics, batch=1))
    same = score(frames, frames, metrics=metrics)
    assert np.isposinf(same["psnr"]).all()
    np.testing.assert_allclose(same["ssim"], 1.0, atol=1e-6)
    assert (same["sd"] == 0.0).all()
    assert (forward["ssim"] <= 1.0 + 1e-6).all()


def test_frame_smaller_than_the_window_has_no_ssim() -> None:
    tiny = PORTRAIT[None, :10, :30]
    table = score(tiny, tiny, metrics=("ssim",))
    assert np.isnan(table["ssim"][0])
    assert table.attrs["records"]["ssim"]["frames_dropped"] == [0]
