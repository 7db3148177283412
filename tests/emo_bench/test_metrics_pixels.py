"""PSNR, SSIM and MS-SSIM against scikit-image and torchmetrics, SD against a naive loop, regions, and the laws."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from emo_bench.metrics import Scorer, score
from emo_bench.metrics.registry import metric_class

PIXEL_METRICS = ("psnr", "psnr_global", "ssim", "sd", "sd_db", "sd_global", "l1")
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


def scored(frame: np.ndarray, reference: np.ndarray, mask: np.ndarray | None, metrics: tuple[str, ...]):
    """Scores of one frame, as a table of one row; of the mask's pixels where there is one."""
    scorer = Scorer(metrics, region="full frame" if mask is None else "face")
    scorer.add(frame[None], reference[None], region=None if mask is None else mask[None])
    return scorer.table()


@pytest.mark.parametrize(("frame", "reference"), degraded())
def test_psnr_and_ssim_are_scikit_images(frame: np.ndarray, reference: np.ndarray) -> None:
    scores = score(frame[None], reference[None], metrics=("psnr", "ssim")).iloc[0]
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(reference, frame), abs=1e-9)
    expected = structural_similarity(
        frame, reference, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert scores["ssim"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(192, 176), (177, 190)])
def test_psnr_ssim_and_ms_ssim_are_torchmetrics(size: tuple[int, int]) -> None:
    """torchmetrics averages SSIM over reflected borders too: cut from its map, the numbers are ours."""
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    torch = pytest.importorskip("torch")
    for frame, reference in degraded()[::3]:
        frame, reference = frame[: size[0], : size[1]], reference[: size[0], : size[1]]
        ours = score(frame[None], reference[None], metrics=("psnr", "ssim", "ms_ssim")).iloc[0]
        x, y = (torch.from_numpy(side.copy()).permute(2, 0, 1)[None].float() for side in (frame, reference))
        psnr = torchmetrics.peak_signal_noise_ratio(x, y, data_range=255.0)
        assert ours["psnr"] == pytest.approx(float(psnr), abs=1e-4)
        options = {"data_range": 255.0, "return_full_image": True}
        _, values = torchmetrics.structural_similarity_index_measure(x, y, **options)
        assert ours["ssim"] == pytest.approx(float(values[..., 5:-5, 5:-5].mean()), abs=1e-4)
        options = {"data_range": 255.0, "normalize": "relu"}
        theirs = float(torchmetrics.multiscale_structural_similarity_index_measure(x, y, **options))
        for _ in range(4):
            x, y = (torch.nn.functional.avg_pool2d(side, 2) for side in (x, y))
        bordered, values = torchmetrics.structural_similarity_index_measure(
            x, y, data_range=255.0, return_full_image=True
        )
        last = float(values[..., 5:-5, 5:-5].mean().clamp_min(0) / bordered.clamp_min(1e-9))
        assert ours["ms_ssim"] == pytest.approx(theirs * last**0.1333, abs=1e-4)


def test_ssim_and_ms_ssim_are_the_authors_on_calibration_images(shared_folder: Path) -> None:
    """The official values are of gray pictures; ours of colour, the mean over channels, lie up to 0.05 below."""
    folder = shared_folder / "golden" / "iqa"
    with (folder / "official.csv").open() as file:
        rows = {row.pop("Method"): [float(x) for x in row.values()] for row in csv.DictReader(file)}
    for i, name in enumerate(("I03", "I04", "I06", "I08", "I19")):
        pair = [cv2.imread(str(folder / f"{kind}_{name}.png")) for kind in ("dist", "ref")]
        gray = [cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2RGB)[None] for x in pair]
        ours = score(*gray, metrics=("ssim", "ms_ssim")).iloc[0]
        assert ours["ssim"] == pytest.approx(rows["ssim"][i], abs=1e-4)
        assert ours["ms_ssim"] == pytest.approx(rows["ms_ssim"][i], abs=5e-3)
        colour = score(pair[0][None], pair[1][None], metrics=("ms_ssim",))["ms_ssim"][0]
        assert -0.05 < colour - rows["ms_ssim"][i] < 0


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_region_of_a_frame_is_what_the_full_region_gives(metric: str) -> None:
    frame, reference = degraded()[0]
    whole = scored(frame, reference, None, (metric,))
    assert scored(frame, reference, np.ones(frame.shape[:2], bool), (metric,))[metric][0] == pytest.approx(
        whole[metric][0], rel=1e-9
    )
    empty = scored(frame, reference, np.zeros(frame.shape[:2], bool), (metric,))
    assert np.isnan(empty[metric][0])
    assert empty.attrs["records"][metric]["region"] == "face"
    assert empty.attrs["records"][metric]["frames_dropped"] == [0]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.02, 0.9), st.integers(0, 2**31))
def test_same_background_raises_full_psnr_by_the_log_of_the_share(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = rng.random((40, 50)) < share
    mask[3, 4] = True
    frame = np.where(mask[..., None], reference ^ 5, reference).astype(np.uint8)
    inside = scored(frame, reference, mask, ("psnr",))["psnr"][0]
    full = scored(frame, reference, None, ("psnr",))["psnr"][0]
    assert full == pytest.approx(inside + 10 * np.log10(1 / mask.mean()), abs=1e-9)


def test_ssim_of_a_region_is_the_mean_of_scikit_images_map() -> None:
    frame, reference = degraded()[0]
    mask = np.zeros(frame.shape[:2], bool)
    mask[30:150, 2:90] = True
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, values = structural_similarity(reference, frame, channel_axis=2, data_range=255, **options)
    inner = mask.copy()
    inner[:, :5] = False
    expected = values[inner].mean()
    assert scored(frame, reference, mask, ("ssim",))["ssim"][0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_l1_is_torchs_l1_loss_on_the_unit_range(masked: bool) -> None:
    torch = pytest.importorskip("torch")
    for frame, reference in degraded():
        mask = np.random.default_rng(4).random(frame.shape[:2]) < (0.3 if masked else 2.0)
        x, y = (torch.from_numpy(side[mask].copy()).double() / 255 for side in (frame, reference))
        found = scored(frame, reference, mask if masked else None, ("l1",))["l1"][0]
        assert found == pytest.approx(float(torch.nn.functional.l1_loss(x, y)), abs=1e-12)
    black, white = np.zeros((1, 5, 6, 3), np.uint8), np.full((1, 5, 6, 3), 255, np.uint8)
    assert score(black, white, metrics=("l1",))["l1"][0] == 1.0


@settings(max_examples=25, deadline=None)
@given(frames_st)
def test_global_psnr_is_that_of_all_pixels_and_never_above_the_mean(pair: tuple[np.ndarray, np.ndarray]) -> None:
    frames, reference = pair
    column = score(frames, reference, metrics=("psnr_global",))["psnr_global"].to_numpy()
    value = metric_class("psnr_global").aggregate(column)
    error = np.square(frames.astype(float) - reference).mean()
    assert value == pytest.approx(10 * np.log10(255**2 / error) if error else np.inf)
    assert value <= metric_class("psnr").aggregate(column) + 1e-9


def test_torch_path_has_the_numbers_of_the_cpu_path() -> None:
    """The device that a GPU run takes, here torch's own CPU."""
    torch = pytest.importorskip("torch")
    pairs = [(x[:, :200], y[:, :200]) for x, y in degraded()]
    frames, reference = (np.stack(side) for side in zip(*pairs, strict=True))
    device = str(torch.device("cpu", 0))
    for name in ("ssim", "ms_ssim"):
        plain = metric_class(name)("cpu").score(frames, reference)
        np.testing.assert_allclose(metric_class(name)(device).score(frames, reference), plain, atol=2e-6)


def test_ssim_keeps_its_precision_in_flat_bright_regions() -> None:
    rng = np.random.default_rng(1)
    bright = rng.integers(250, 256, size=(40, 40, 3), dtype=np.uint8)
    other = rng.integers(250, 256, size=(40, 40, 3), dtype=np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(bright, other, channel_axis=2, data_range=255, **options)
    assert score(bright[None], other[None], metrics=("ssim",))["ssim"][0] == pytest.approx(expected, abs=1e-4)


def gradient_sum(image: np.ndarray, y: int, x: int, c: int) -> int:
    here = int(image[y, x, c])
    return abs(here - int(image[y - 1, x, c])) + abs(here - int(image[y, x - 1, c]))


def naive_sharpness(frame: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Mean |G - G'| and mean G - mean G' over the mask's pixels, by loops."""
    absolute, signed, count = 0, 0, 0
    for y in range(1, frame.shape[0]):
        for x in range(1, frame.shape[1]):
            for c in range(3):
                if mask[y, x]:
                    difference = gradient_sum(frame, y, x, c) - gradient_sum(reference, y, x, c)
                    absolute, signed, count = absolute + abs(difference), signed + difference, count + 1
    return absolute / count, signed / count


@pytest.mark.parametrize("masked", [False, True])
def test_sharpness_differences_are_the_naive_loops(masked: bool) -> None:
    frame, reference = PORTRAIT[80:97, 200:219], CAT[100:117, 150:169]
    mask = np.random.default_rng(2).random(frame.shape[:2]) < (0.4 if masked else 2.0)
    table = scored(frame, reference, mask if masked else None, ("sd", "sd_db", "sd_global")).iloc[0]
    absolute, signed = naive_sharpness(frame, reference, mask)
    assert table["sd"] == pytest.approx(absolute)
    assert table["sd_db"] == pytest.approx(10 * np.log10(255**2 / absolute))
    assert table["sd_global"] == pytest.approx(abs(signed))


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
    metrics = PIXEL_METRICS
    forward = score(frames, reference, metrics=metrics)
    backward = score(reference, frames, metrics=metrics)
    np.testing.assert_allclose(forward, backward, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(forward, score(frames, reference, metrics=metrics, batch=1))
    same = score(frames, frames, metrics=metrics)
    assert np.isposinf(same["psnr"]).all()
    np.testing.assert_allclose(same["ssim"], 1.0, atol=1e-6)
    assert (same["l1"] == 0.0).all() and (forward["l1"] <= 1.0).all()
    assert (same["sd"] == 0.0).all() and (same["sd_global"] == 0.0).all() and np.isposinf(same["sd_db"]).all()
    assert (forward["ssim"] <= 1.0 + 1e-6).all()


def test_frame_smaller_than_the_window_has_no_ssim() -> None:
    tiny = PORTRAIT[None, :10, :30]
    table = score(tiny, tiny, metrics=("ssim", "ms_ssim"))
    assert np.isnan(table["ms_ssim"][0])
    assert np.isnan(table["ssim"][0])
    assert table.attrs["records"]["ssim"]["frames_dropped"] == [0]
