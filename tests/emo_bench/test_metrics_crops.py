"""LPIPS and MS-SSIM of a region, and of the mouth and the eyes, against packages and against crops cut here."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage import data

from emo_bench import assets
from emo_bench.metrics import Scorer, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.comparability import difference
from emo_bench.metrics.crops import CROP_PX, EyesMSSSIM, MouthMSSSIM, MouthSTLPIPS, square
from emo_bench.metrics.registry import metric_class
from emo_bench.perceptual import PerceptualDistance

FramesU8 = NDArray[np.uint8]
needs_stlpips = pytest.mark.skipif(assets.locate("stlpips-alex") is None, reason="no weights of ST-LPIPS")


@pytest.fixture(scope="module")
def pair() -> tuple[FramesU8, FramesU8]:
    reference = data.astronaut()[None, :256, 96:352]
    noise = np.random.default_rng(0).normal(0.0, 14.0, reference.shape)
    return np.clip(reference + noise, 0, 255).round().astype(np.uint8), reference


class Known:
    """A detector that knows where the landmarks are: an ellipse of the eyes, one of the mouth."""

    def __init__(self, found: bool = True) -> None:
        self.found = found
        self.landmarks = np.zeros((68, 2), np.float32)
        for points, centre, width, height in ((slice(36, 48), (128, 90), 60, 8), (slice(48, 68), (130, 150), 30, 14)):
            turn = np.linspace(0, 2 * np.pi, points.stop - points.start, endpoint=False)
            self.landmarks[points] = np.stack([np.cos(turn) * width, np.sin(turn) * height], 1) + centre

    def detect(self, frame: FramesU8) -> SimpleNamespace | None:
        return SimpleNamespace(landmarks68=self.landmarks) if self.found else None


def test_a_crop_is_the_metric_of_the_same_square_of_both(pair: tuple[FramesU8, FramesU8]) -> None:
    """Mouth: 60 px wide, so a square of 84 px around (130, 150), enlarged linearly, by pytorch's own resize."""
    detector = Known()
    sides = []
    for side in pair:
        part = torch.from_numpy(side[:, 108:192, 88:172].astype(np.float32)).permute(0, 3, 1, 2)
        large = torch.nn.functional.interpolate(part, (CROP_PX, CROP_PX), mode="bilinear", align_corners=False)
        sides.append(large.permute(0, 2, 3, 1).numpy())
    found = MouthMSSSIM(detector=detector).score(*pair)[0]
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    x, y = (torch.from_numpy(side).permute(0, 3, 1, 2) for side in sides)
    theirs = torchmetrics.multiscale_structural_similarity_index_measure(x, y, data_range=255.0, normalize="relu")
    # torchmetrics averages reflected borders too.
    assert found == pytest.approx(float(theirs), abs=0.03) and found < 0.97
    assert found == pytest.approx(metric_class("ms_ssim")().score(*sides)[0], abs=1e-4)
    assert EyesMSSSIM(detector=detector).score(*pair)[0] != found


@needs_stlpips
def test_only_the_mouth_matters_and_lpips_sees_it(pair: tuple[FramesU8, FramesU8]) -> None:
    frames, reference = pair
    beside = reference.copy()
    beside[:, :100] = frames[:, :100]
    metric = MouthSTLPIPS(detector=Known())
    assert metric.score(beside, reference)[0] == 0.0 < metric.score(frames, reference)[0]


def test_no_face_in_the_reference_is_no_score(pair: tuple[FramesU8, FramesU8]) -> None:
    assert np.isnan(MouthMSSSIM(detector=Known(found=False)).score(*pair)).all()


@pytest.mark.filterwarnings("ignore")
def test_the_record_names_the_square_and_the_detector(pair: tuple[FramesU8, FramesU8]) -> None:
    table = score(*pair, metrics=("ms_ssim-mouth", "ms_ssim-eyes", "ms_ssim"))
    records = table.attrs["records"]
    conditions = records["ms_ssim-mouth"]["conditions"]
    assert "points 48 to 67, resized to 192 px" in conditions["crop"] and conditions["faces"]
    assert "points 36 to 47" in records["ms_ssim-eyes"]["conditions"]["crop"]
    assert difference(records["ms_ssim-mouth"], records["ms_ssim"]) is not None
    assert table.notna().all(axis=None)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, (6, 2), elements=st.floats(-40, 140, width=32)), st.integers(8, 120), st.integers(8, 120))
def test_a_square_lies_in_the_frame(points: NDArray[np.float32], height: int, width: int) -> None:
    found = square(points, height, width)
    if found is not None:
        left, top, side = found
        assert side >= 8 and 0 <= left <= width - side and 0 <= top <= height - side


def regional(metric: str, pair: tuple[FramesU8, FramesU8], mask: NDArray[np.bool_]) -> tuple[float, dict[str, object]]:
    scorer = Scorer((metric,), region="face")
    scorer.add(*pair, region=mask[None])
    table = scorer.table()
    return float(table[metric][0]), table.attrs["records"][metric]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_of_a_region_weights_the_packages_maps(trunk: str) -> None:
    """The maps of the package's own network, before it averages them; numpy weights them by the mask's share."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(1)
    original = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    maps: list[torch.Tensor] = []
    for layer in original.lins:
        layer.register_forward_hook(lambda _, __, out: maps.append(out.detach()))
    ours = PerceptualDistance(trunk, shift_tolerant=False)
    weights = {f"features.{key}": value for key, value in original.net.state_dict().items()}
    weights |= torch.load(assets.require(f"lpips-{trunk}-heads").path, map_location="cpu", weights_only=True)
    ours.load_published_weights(weights)
    reference = torch.from_numpy(data.astronaut()[40:136, 180:276]).permute(2, 0, 1)[None] / 127.5 - 1.0
    images = (reference + 0.2 * torch.randn(reference.shape)).clamp(-1, 1)
    mask = np.zeros((96, 96), np.float32)
    mask[20:60, 30:90] = 1.0
    with torch.no_grad():
        original(images, reference)
        found = float(ours(images, reference, torch.from_numpy(mask)[None]))
        full = float(ours(images, reference, torch.ones(1, 96, 96)))
        assert full == pytest.approx(float(ours(images, reference)), rel=1e-5)
    expected = 0.0
    for stage in maps:
        values = stage[0, 0].numpy()
        rows, columns = values.shape
        share = np.empty_like(values)
        for row, column in np.ndindex(values.shape):
            top, below = row * 96 // rows, -(-(row + 1) * 96 // rows)
            left, right = column * 96 // columns, -(-(column + 1) * 96 // columns)
            share[row, column] = mask[top:below, left:right].mean()
        expected += (values * share).sum() / share.sum()
    assert found == pytest.approx(expected, rel=1e-4) and abs(found - full) > 1e-3 * full


@needs_stlpips
def test_the_region_of_lpips_is_in_the_record_and_an_empty_one_has_no_score(pair: tuple[FramesU8, FramesU8]) -> None:
    mask = np.zeros(pair[0].shape[1:3], bool)
    assert np.isnan(regional("st-lpips", pair, mask)[0])
    mask[90:200, 80:180] = True
    inside, record = regional("st-lpips", pair, mask)
    assert record["region"] == "face" and "mask's share" in record["conditions"]["region of LPIPS"]  # type: ignore[index]
    whole = score(*pair, metrics=("st-lpips",))
    assert whole.attrs["records"]["st-lpips"]["conditions"] == {} and inside != whole["st-lpips"][0]
    spoiled = pair[1].copy()
    spoiled[:, :40] = 0
    assert (
        regional("st-lpips", (spoiled, pair[1]), mask)[0]
        < 0.1 * score(spoiled, pair[1], metrics=("st-lpips",)).iloc[0, 0]
    )


def test_ms_ssim_of_a_region_is_the_product_of_scikit_images_maps(pair: tuple[FramesU8, FramesU8]) -> None:
    """SSIM's maps at every scale from scikit-image; contrast and structure is SSIM over its luminance term."""
    from skimage.metrics import structural_similarity

    mask = np.zeros(pair[0].shape[1:3], bool)
    mask[60:230, 50:201] = True
    x, y = (side[0].astype(np.float64) for side in pair)
    inside, product = mask.copy(), 1.0
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255.0}
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, y = (cv2.resize(side, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for side in (x, y))
            inside = cv2.resize(inside.astype(np.float64), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) >= 0.5
        _, values = structural_similarity(x, y, channel_axis=2, full=True, **options)
        if scale < 4:
            means = [cv2.GaussianBlur(side, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT) for side in (x, y)]
            c1 = (0.01 * 255.0) ** 2
            values = values * (means[0] ** 2 + means[1] ** 2 + c1) / (2 * means[0] * means[1] + c1)
        counted = np.zeros_like(inside)
        counted[5:-5, 5:-5] = inside[5:-5, 5:-5]
        product *= max(values[counted].mean(), 0.0) ** weight
    found, record = regional("ms_ssim", pair, mask)
    assert found == pytest.approx(product, abs=2e-4) and record["region"] == "face"
    full = np.ones_like(mask)
    assert regional("ms_ssim", pair, full)[0] == pytest.approx(
        score(*pair, metrics=("ms_ssim",))["ms_ssim"][0], abs=1e-9
    )
    assert np.isnan(regional("ms_ssim", pair, np.zeros_like(mask))[0])


def test_batches_are_those_of_the_frames(pair: tuple[FramesU8, FramesU8]) -> None:
    frames, reference = (np.concatenate([side] * 3) for side in pair)
    metric = MouthMSSSIM(detector=Known())
    whole = metric.score_batch(Batch(frames, reference))
    np.testing.assert_allclose(whole, np.repeat(metric.score(*pair), 3), rtol=1e-9)
