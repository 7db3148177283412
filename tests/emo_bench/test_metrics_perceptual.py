"""Learned distances against the packages that publish their weights."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.metrics import score
from emo_bench.metrics.perceptual import STLPIPS
from emo_bench.perceptual import DISTANCES, PerceptualDistance, perceptual_loss
from emo_bench.perceptual.trunk import BlurPool, BlurredConvolution, MaxPool

needs_stlpips = pytest.mark.skipif(
    assets.locate("stlpips-alex") is None, reason="package stlpips-pytorch is not installed"
)


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Two portraits of odd and even size and their noisy, shifted forms: [2,3,96,81] in [-1,1]."""
    portrait, cat = data.astronaut()[40:136, 180:261], data.chelsea()[50:146, 120:201]
    reference = torch.from_numpy(np.stack([portrait, cat])).permute(0, 3, 1, 2) / 127.5 - 1.0
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return (reference.roll(2, dims=3) + 0.1 * noise).clamp(-1, 1), reference


@pytest.fixture
def stlpips_package(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The original package; IPython and torchsummary, which it imports and never uses, are stood in for."""
    for name, attribute in (("IPython", "embed"), ("torchsummary", "summary")):
        if importlib.util.find_spec(name) is None:
            module = types.ModuleType(name)
            setattr(module, attribute, None)
            monkeypatch.setitem(sys.modules, name, module)
    return pytest.importorskip("stlpips_pytorch.stlpips")


@needs_stlpips
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_shift_tolerant_lpips_is_its_packages(trunk: str, images, stlpips_package) -> None:
    original = stlpips_package.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
    ours = PerceptualDistance.from_assets(f"stlpips-{trunk}")
    with torch.no_grad():
        torch.testing.assert_close(ours(*images), original(*images).flatten(), rtol=1e-5, atol=1e-5)
        assert ours(images[0], images[0]).tolist() == [0.0, 0.0]


@needs_stlpips
@pytest.mark.filterwarnings("ignore")
def test_three_stages_are_the_first_three_of_the_package(images, stlpips_package) -> None:
    original = stlpips_package.LPIPS(net="vgg", variant="shift_tolerant", verbose=False)
    ours = PerceptualDistance.from_assets("stlpips-vgg-3")
    with torch.no_grad():
        total, stages = original(*images, retPerLayer=True)
        expected = (total - stages[3] - stages[4]).flatten()
        torch.testing.assert_close(ours(*images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_is_its_packages(trunk: str, images) -> None:
    """The real heads on a random trunk: the package would have to download the trunk's weights."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(1)
    original = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    ours = PerceptualDistance(trunk, shift_tolerant=False)
    weights = {f"features.{key}": value for key, value in original.net.state_dict().items()}
    weights |= torch.load(assets.require(f"lpips-{trunk}-heads").path, map_location="cpu", weights_only=True)
    ours.load_published_weights(weights)
    with torch.no_grad():
        expected = original(*images).flatten()
        assert expected.min() > 1e-4
        torch.testing.assert_close(ours(*images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 40), (33, 40), (32, 41), (33, 41)])
def test_blurred_convolution_is_the_convolution_then_the_blur(size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    merged = BlurredConvolution(3, 4, 11, padding=2).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    plain = nn.functional.conv2d(images, merged.weight, merged.bias, padding=2)
    torch.testing.assert_close(merged(images), BlurPool(4).double()(plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (63, 64), (64, 63)])
def test_blurred_convolution_in_bfloat16_reads_the_picture_alone(size: tuple[int, int]) -> None:
    """On processors with AMX, oneDNN added what lay in memory behind a narrow picture: training ended in NaN."""
    torch.manual_seed(0)
    layer = BlurredConvolution(3, 64, 11, padding=2)
    images = torch.rand(2, 3, *size) * 2 - 1
    exact = layer(images)
    for _ in range(8):
        rubbish = torch.full((1 << 20,), 1e30, dtype=torch.bfloat16)
        del rubbish
        with torch.autocast("cpu", torch.bfloat16):
            assert (layer(images) - exact).abs().max() < 0.02


def test_weights_of_another_network_are_refused() -> None:
    vgg = PerceptualDistance("vgg", shift_tolerant=False, stages=3)
    weights = {f"features.{i}.weight": torch.zeros(8, 3, 3, 3) for i in range(20)}
    weights |= {f"lin{k}.model.1.weight": torch.zeros(1, 64, 1, 1) for k in range(3)}
    with pytest.raises(ValueError, match="do not fit"):
        vgg.load_published_weights(weights)


@needs_stlpips
@pytest.mark.parametrize("name", ["stlpips-alex", "stlpips-vgg-3"])
def test_loss_descends_and_its_gradient_is_the_numeric_one(name: str, images) -> None:
    loss = perceptual_loss(name)
    start, target = (image[:1, :, :40, :40].contiguous() for image in images)
    start.requires_grad_(True)
    value = loss(start, target).sum()
    value.backward()
    gradient = start.grad
    assert gradient is not None and torch.isfinite(gradient).all()
    direction = gradient / gradient.norm()
    step = 0.02
    with torch.no_grad():
        ahead, behind = loss(start + step * direction, target), loss(start - step * direction, target)
        assert float((ahead - behind) / (2 * step)) == pytest.approx(float(gradient.norm()), rel=0.05)


@needs_stlpips
def test_gradient_is_finite_where_no_feature_fires() -> None:
    loss = perceptual_loss("stlpips-alex")
    with torch.no_grad():
        for parameter in loss.stages[0].parameters():  # type: ignore[attr-defined]
            parameter.zero_()
    black = torch.full((1, 3, 64, 64), -1.0, requires_grad=True)
    loss(black, torch.rand(1, 3, 64, 64)).sum().backward()
    assert black.grad is not None and torch.isfinite(black.grad).all()


@needs_stlpips
@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_metric_equals_the_loss_whatever_the_batch_and_names_its_weights(trunk: str) -> None:
    metric = {"alex": "st-lpips", "vgg": "st-lpips-vgg"}[trunk]
    portrait, cat = data.astronaut()[40:104, 180:244], data.chelsea()[50:114, 120:184]
    frames, reference = np.stack([portrait, cat, portrait]), np.stack([portrait, portrait, cat])
    table = score(frames, reference, metrics=(metric,))
    assert table[metric][0] == 0.0
    tensors = [torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1.0 for x in (frames, reference)]
    with torch.no_grad():
        expected = perceptual_loss(f"stlpips-{trunk}")(*tensors)
    np.testing.assert_allclose(table[metric], expected, rtol=1e-5)
    single = score(frames, reference, metrics=(metric,), batch=1)
    np.testing.assert_allclose(table[metric], single[metric], rtol=1e-4)
    backend = table.attrs["records"][metric]["backend"]
    assert backend["name"] == f"stlpips-{trunk}"
    assert backend["sha256"] == assets.require(f"stlpips-{trunk}").sha256


@needs_stlpips
def test_missing_lpips_is_replaced_under_the_replacements_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EMO_BENCH_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
    frames = data.astronaut()[None, 40:104, 180:244]
    table = score(frames, frames, metrics=("lpips",))
    assert list(table.columns) == ["st-lpips"]
    with pytest.raises(UserError, match="emo-bench assets fetch lpips-alex"):
        perceptual_loss("lpips-alex")


def test_without_any_backend_the_score_is_undefined_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.assets.location.candidates", lambda asset: iter(()))
    frames = data.astronaut()[None, 40:104, 180:244]
    table = score(frames, frames, metrics=("lpips", "psnr"))
    assert np.isnan(table["lpips"][0]) and np.isposinf(table["psnr"][0])
    backend = table.attrs["records"]["lpips"]["backend"]
    assert backend["name"] == "n/a" and "assets fetch lpips-alex" in backend["detail"]


def test_every_distance_names_known_assets() -> None:
    known = {asset.name for asset in assets.list_assets()}
    assert known.issuperset(name for distance in DISTANCES.values() for name in distance.assets)
    assert isinstance(PerceptualDistance("alex", True), nn.Module)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (2, 2), (3, 2)])
def test_max_pooling_is_torchs_with_and_without_gradients(
    size: int, stride: int, memory_format: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    # Whole numbers, so that neighbours are equal, and zeros as after a ReLU.
    maps = torch.randint(-3, 4, (2, 5, 12, 9), generator=generator).float().relu().to(memory_format=memory_format)
    ours, theirs = MaxPool(size, stride), nn.MaxPool2d(size, stride)
    with torch.no_grad():
        assert torch.equal(ours(maps), theirs(maps))
        assert ours(maps).stride() == theirs(maps).stride()
    gradients = []
    for pool in (ours, theirs):
        leaf = maps.clone().requires_grad_()
        weights = torch.arange(theirs(maps).numel()).reshape(theirs(maps).shape)
        (pool(leaf) * weights).sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)
    assert ours(maps[:, :, :size, :size]).shape == (2, 5, 1, 1)
    with pytest.raises(RuntimeError):
        ours(maps[:, :, :1])


@needs_stlpips
def test_repeated_frames_score_as_each_of_them_alone() -> None:
    rng = np.random.default_rng(0)
    different = rng.integers(0, 255, (3, 48, 40, 3), dtype=np.uint8)
    frames, reference = different[[2, 0, 0, 2, 0, 1]], different[[1, 1, 0, 1, 2, 2]]
    metric = STLPIPS()
    together = metric.score(frames, reference)
    alone = [metric.score(frames[i : i + 1], reference[i : i + 1])[0] for i in range(len(frames))]
    # A batch of another size may be added in another order.
    assert together.tolist() == pytest.approx(alone, rel=1e-5)
    assert together[2] == 0.0
    assert together[0] == together[3] > 0
