"""The StyleGAN2 networks against NVIDIA's outputs, scipy's filters and the paper's formulas."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import upfirdn  # type: ignore[import-untyped]

from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.discriminator import minibatch_deviation
from emo_avatar.stylegan2.fir import blur, downsample, upsample
from emo_avatar.stylegan2.layers import Conv, SynthesisLayer
from emo_bench.errors import UserError

SHARED = Path(os.environ.get("EMO_BENCH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
GOLDEN = SHARED / "golden"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no shared/golden beside the checkout")


def golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """State dict without filters, and inputs and outputs."""
    with np.load(GOLDEN / name) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    state = {
        key.removeprefix("state/"): value
        for key, value in arrays.items()
        if key.startswith("state/") and not key.endswith("resample_filter")
    }
    return state, {key: value for key, value in arrays.items() if not key.startswith("state/")}


@pytest.fixture(scope="module")
def nvidia() -> tuple[Generator, dict[str, torch.Tensor]]:
    state, arrays = golden("stylegan2_nvidia_64.npz")
    generator = Generator(GeneratorConfig(64, z_dim=32, w_dim=32, mapping_layers=2, channel_base=1024, channel_max=32))
    generator.load_state_dict(state)
    return generator, arrays


def small(**changes: object) -> GeneratorConfig:
    settings = {
        "img_resolution": 32,
        "z_dim": 16,
        "w_dim": 16,
        "mapping_layers": 2,
        "channel_base": 256,
        "channel_max": 16,
    }
    return GeneratorConfig(**{**settings, **changes})  # type: ignore[arg-type]


@needs_golden
@torch.no_grad()
def test_mapping_matches_nvidia(nvidia: tuple[Generator, dict[str, torch.Tensor]]) -> None:
    generator, arrays = nvidia
    z = arrays["out/z"]
    assert torch.allclose(generator.mapping(z), arrays["out/ws"], atol=1e-4)
    truncated = generator.mapping(z, truncation_psi=0.7, truncation_cutoff=8)
    assert torch.allclose(truncated, arrays["out/ws_psi0.7_cutoff8"], atol=1e-4)


@needs_golden
@pytest.mark.parametrize("noise_mode", ["const", "none"])
@torch.no_grad()
def test_synthesis_matches_nvidia(nvidia: tuple[Generator, dict[str, torch.Tensor]], noise_mode: str) -> None:
    generator, arrays = nvidia
    images = generator.synthesis(arrays["out/ws"], noise_mode=noise_mode)
    expected = arrays[f"out/img_noise_{noise_mode}"]
    assert images.dtype == torch.float32
    assert (images - expected).abs().max() < 1e-4


@needs_golden
@torch.no_grad()
def test_autocast_stays_near_the_exact_images(nvidia: tuple[Generator, dict[str, torch.Tensor]]) -> None:
    generator, arrays = nvidia
    expected = arrays["out/img_noise_const"]
    with torch.autocast("cpu", torch.bfloat16):
        images = generator.synthesis(arrays["out/ws"])
    assert images.dtype == torch.float32
    error = (images - expected).square().mean().sqrt() / expected.std()
    assert 1e-4 < error < 0.03


@needs_golden
@torch.no_grad()
def test_discriminator_matches_nvidia() -> None:
    state, arrays = golden("stylegan2_nvidia_64_discriminator.npz")
    discriminator = Discriminator(DiscriminatorConfig(64, channel_base=1024, channel_max=32))
    discriminator.load_state_dict(state)
    assert torch.allclose(discriminator(arrays["in/img"]), arrays["out/logits"], atol=1e-4)


def test_fir_matches_scipy() -> None:
    x = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    taps = np.array([1, 3, 3, 1]) / 8

    def both_axes(gain: float, up: int, down: int) -> np.ndarray:
        rows = upfirdn(taps * gain, x[0, 0].numpy(), up, down, axis=0)
        return upfirdn(taps * gain, rows, up, down, axis=1)

    up = both_axes(2.0, 2, 1)[1:13, 1:13]
    np.testing.assert_allclose(upsample(x)[0, 0].numpy(), up, atol=1e-6)
    down = both_axes(1.0, 1, 1)[2:8:2, 2:8:2]
    np.testing.assert_allclose(downsample(x)[0, 0].numpy(), down, atol=1e-6)
    np.testing.assert_allclose(blur(x, padding=3)[0, 0].numpy(), both_axes(1.0, 1, 1), atol=1e-6)


@pytest.mark.parametrize("size", [4, 8])
def test_fir_derivatives_match_finite_differences(size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, size, size, dtype=torch.float64, requires_grad=True)
    for operation in (lambda v: blur(v, padding=1, gain=4.0), upsample, downsample):
        torch.autograd.gradcheck(operation, x)
        torch.autograd.gradgradcheck(lambda v, f=operation: f(v).square(), x)


def test_layer_is_the_papers_weight_modulation() -> None:
    """Equations 1 and 3 of Karras et al. 2020, one sample at a time, weights modulated explicitly."""
    torch.manual_seed(1)
    layer = SynthesisLayer(5, 7, w_dim=4, resolution=8)
    with torch.no_grad():
        layer.noise_strength.fill_(0.3)
        layer.bias.normal_()
    x, w = torch.randn(3, 5, 8, 8), torch.randn(3, 4)
    styles = w @ layer.affine.weight.t() / 2 + layer.affine.bias
    expected = []
    for i in range(3):
        weight = layer.weight / np.sqrt(45) * styles[i][None, :, None, None]
        weight = weight / torch.sqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        y = F.conv2d(x[i : i + 1], weight, padding=1) + 0.3 * layer.noise_const + layer.bias[:, None, None]
        expected.append(F.leaky_relu(y, 0.2) * np.sqrt(2))
    torch.testing.assert_close(layer(x, w), torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_down_convolution_is_filter_then_stride() -> None:
    torch.manual_seed(2)
    conv = Conv(3, 4, 3, resample="down", activate=False)
    x = torch.randn(1, 3, 8, 8)
    taps = np.array([1, 3, 3, 1]) / 8
    smooth = upfirdn(taps, upfirdn(taps, x.numpy(), axis=2), axis=3)
    # scipy's full output is padded by 3; the layer pads by 2.
    smooth = torch.from_numpy(smooth[:, :, 1:-1, 1:-1].astype(np.float32))
    expected = F.conv2d(smooth, conv.weight / np.sqrt(27), conv.bias, stride=2)
    torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=1e-5)


def test_minibatch_deviation_of_known_groups() -> None:
    x = torch.zeros(4, 2, 2, 2)
    x[2:] = 2.0
    # Groups of 2 interleave the batch: {0, 2} and {1, 3}, each with values 0 and 2, deviation 1.
    assert torch.allclose(minibatch_deviation(x, 2, 1), torch.ones(4, 1, 2, 2))
    with pytest.raises(ValueError, match="multiple"):
        minibatch_deviation(torch.zeros(5, 2, 2, 2), 4, 1)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("resolution", [32, 256])
def test_architectures(architecture: str, resolution: int) -> None:
    torch.manual_seed(3)
    config = small(img_resolution=resolution, architecture=architecture)
    generator = Generator(config)
    seen: list[tuple[int, tuple[int, ...], bool]] = []

    def fuse(r: int, x: torch.Tensor, rgb: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        seen.append((r, tuple(x.shape[2:]), rgb is not None))
        return x, rgb

    ws = generator.mapping(torch.randn(2, 16))
    images = generator.synthesis(ws, fuse=fuse)
    assert images.shape == (2, 3, resolution, resolution)
    torch.testing.assert_close(images, generator.synthesis(ws))
    assert seen == [(r, (r, r), architecture == "skip" and r > 4) for r in config.resolutions]
    rgbs = sum("torgb.weight" in name for name in generator.state_dict())
    assert rgbs == (len(config.resolutions) if architecture == "skip" else 1)
    critic = Discriminator(
        DiscriminatorConfig(resolution, channel_base=256, channel_max=16, architecture=architecture)  # type: ignore[arg-type]
    )
    critic(images).sum().backward()
    gradients = {name: p.grad is not None for name, p in [*generator.named_parameters()] if "noise" not in name}
    assert all(gradients.values()), [name for name, has in gradients.items() if not has]


def test_fuse_replaces_features_and_rgb() -> None:
    torch.manual_seed(4)
    generator = Generator(small())
    ws = generator.mapping(torch.randn(1, 16))

    def blank(r: int, x: torch.Tensor, rgb: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        return (torch.zeros_like(x), torch.full_like(rgb, 0.25)) if r == 32 and rgb is not None else (x, rgb)

    images = generator.synthesis(ws, fuse=blank)
    bias = generator.state_dict()["synthesis.b32.torgb.bias"]
    torch.testing.assert_close(images, (0.25 + bias)[None, :, None, None].expand_as(images))


def test_noise_modes() -> None:
    torch.manual_seed(5)
    generator = Generator(small())
    ws = generator.mapping(torch.randn(2, 16))
    for name, strength in generator.named_parameters():
        if name.endswith("noise_strength"):
            strength.data.fill_(0.5)
    const, again = generator.synthesis(ws), generator.synthesis(ws)
    assert torch.equal(const, again)
    assert not torch.allclose(const, generator.synthesis(ws, noise_mode="none"), atol=1e-2)
    first = generator.synthesis(ws, noise_mode="random")
    assert not torch.allclose(first, generator.synthesis(ws, noise_mode="random"), atol=1e-2)
    silent = Generator(small(use_noise=False))
    assert not silent.synthesis.noise_buffers()
    torch.testing.assert_close(silent.synthesis(ws), silent.synthesis(ws, noise_mode="none"))


def test_average_w_follows_the_batches() -> None:
    generator = Generator(small(w_avg_beta=0.75))
    generator.mapping.update_w_avg(torch.full((3, 16), 4.0))
    assert torch.allclose(generator.mapping.w_avg, torch.ones(16))
    z = torch.randn(2, 16)
    assert torch.allclose(generator.mapping(z, truncation_psi=0.0), torch.ones(2, 8, 16))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_resolution": 48}, "48"),
        ({"img_resolution": 2048}, "2048"),
        ({"c_dim": 10}, "class-conditional"),
        ({"architecture": "unet"}, "unet"),
    ],
)
def test_unsupported_networks_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**changes)


def test_wrong_ws_are_refused() -> None:
    with pytest.raises(ValueError, match="ws is"):
        Generator(small()).synthesis(torch.zeros(1, 3, 16))
