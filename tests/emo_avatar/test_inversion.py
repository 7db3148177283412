"""Few-shot PTI on a small random generator, whose own images have a known answer."""

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from emo_avatar.inversion import InversionConfig, InversionResult, extreme_frames, invert, lr_ramp, noise_correlation
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.errors import UserError

SHORT = InversionConfig(w_steps=8, tune_steps=6, w_avg_samples=50, w_lr=0.05, tune_lr=1e-3)


def make_generator(*, use_noise: bool = True, resolution: int = 32) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(
        resolution, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16, use_noise=use_noise
    )
    generator = Generator(config)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.1)
    return generator


@torch.no_grad()
def own_images(generator: Generator, count: int) -> Tensor:
    z = torch.randn(count, 16, generator=torch.Generator().manual_seed(5))
    return generator(z).clamp(-1, 1)


def pixels(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


def psnr_db(result: InversionResult, targets: Tensor) -> float:
    return float(10 * torch.log10(4 / (result.reconstructions - targets).square().mean()))


def test_extreme_frames() -> None:
    poses = np.zeros((8, 2))
    poses[1], poses[2], poses[3], poses[4] = (-30, 0), (25, 0), (0, -10), (0, 12)
    assert extreme_frames(poses, range(8)) == [1, 2, 3, 4]
    # Frame 1 is extreme twice: pitch takes the next one. Frame 2 is no candidate, frame 5 has no pose.
    poses[1], poses[5], poses[6] = (-30, -20), (np.nan, 99), (20, 0)
    assert extreme_frames(poses, [0, 1, 3, 4, 5, 6]) == [1, 6, 3, 4]
    with pytest.raises(UserError, match="3 training frames"):
        extreme_frames(poses, [0, 1, 3, 5])


def test_lr_ramp_values() -> None:
    assert lr_ramp(0.0) == 0.0
    assert lr_ramp(0.025) == pytest.approx(0.5)
    assert lr_ramp(0.5) == 1.0
    assert lr_ramp(0.875) == pytest.approx(0.5)
    assert lr_ramp(1.0) == pytest.approx(0.0)


def test_noise_correlation_tells_stripes_from_white_noise() -> None:
    x = torch.arange(16) * 2 * math.pi / 16
    waves = math.sqrt(2) * torch.sin(x).expand(16, 16)
    # At full size: correlation cos(2 pi / 16) along x and 1 along y. One level down the wave is averaged
    # over two samples, which scales it by cos(pi / 16).
    expected = math.cos(2 * math.pi / 16) ** 2 + 1
    power = math.cos(math.pi / 16) ** 2
    expected += (power * math.cos(2 * math.pi / 8)) ** 2 + power**2
    assert float(noise_correlation(waves)) == pytest.approx(expected, rel=1e-5)
    white = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    assert float(noise_correlation(white)) < 0.05


@pytest.mark.parametrize("resolution", [32, 64])
def test_inversion_finds_the_generators_own_images(resolution: int) -> None:
    generator = make_generator(resolution=resolution)
    targets = own_images(generator, 2)
    with torch.no_grad():
        mean = generator(torch.randn(600, 16)).mean(dim=0)
    start = float(10 * torch.log10(4 / (mean - targets).square().mean()))
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    config = InversionConfig(w_steps=80, tune_steps=40, w_lr=0.1, tune_lr=2e-3)
    result = invert(generator, targets, config, pixels, seed=0)
    projected = invert(generator, targets, InversionConfig(w_steps=80, tune_steps=0, w_lr=0.1), pixels, seed=0)
    assert result.pivots.shape == (2, generator.config.num_ws, 16)
    assert psnr_db(projected, targets) > start + 2
    assert psnr_db(result, targets) > psnr_db(projected, targets) + 2
    assert torch.equal(result.pivots, projected.pivots)
    torch.testing.assert_close(result.generator.synthesis(result.pivots), result.reconstructions)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_optimised_noise_is_white_and_carried_over() -> None:
    generator = make_generator()
    targets = own_images(generator, 2)
    result = invert(generator, targets, SHORT, pixels, seed=0)
    only = invert(generator, targets, InversionConfig(**{**vars(SHORT), "tune_steps": 0}), pixels, seed=0)
    tuned, projected = result.generator.synthesis, only.generator.synthesis
    for name, noise in tuned.noise_buffers().items():
        assert torch.equal(noise, projected.noise_buffers()[name])
        assert not torch.allclose(noise, generator.synthesis.noise_buffers()[name], atol=1e-3)
        assert float(noise.mean()) == pytest.approx(0, abs=1e-5)
        assert float(noise.square().mean()) == pytest.approx(1, abs=1e-4)
        assert not noise.requires_grad


@pytest.mark.parametrize("use_noise", [True, False])
@pytest.mark.parametrize("cut", [3, 8, 11, 14])
def test_resumed_inversion_ends_with_the_same_bits(use_noise: bool, cut: int) -> None:
    generator = make_generator(use_noise=use_noise)
    targets = own_images(generator, 2)
    config = InversionConfig(**{**vars(SHORT), "locality_weight": 0.1})
    whole = invert(generator, targets, config, pixels, seed=3)

    class Killed(Exception):
        pass

    saved: dict[str, Any] = {}
    steps = 0

    def save(state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        saved["file"] = buffer

    def kill(**numbers: float) -> None:
        nonlocal steps
        steps += 1
        if steps == cut + 1:
            raise Killed

    with contextlib.suppress(Killed):
        invert(generator, targets, config, pixels, 3, on_step=kill, checkpoint_every=1, on_checkpoint=save)
    saved["file"].seek(0)
    state = torch.load(saved["file"], weights_only=True)
    assert state["done"] == cut
    later: list[float] = []
    resumed = invert(generator, targets, config, pixels, 3, state=state, on_step=lambda **n: later.append(n["loss"]))
    assert len(later) == 14 - cut
    assert torch.equal(whole.pivots, resumed.pivots)
    assert torch.equal(whole.reconstructions, resumed.reconstructions)
    for name, value in whole.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[name]), name


def test_state_of_other_settings_is_refused() -> None:
    generator = make_generator()
    targets = own_images(generator, 1)
    states: list[dict[str, Any]] = []
    invert(generator, targets, SHORT, pixels, 0, on_checkpoint=states.append)
    assert states[-1]["done"] == 14
    with pytest.raises(UserError, match="other settings"):
        invert(generator, -targets / 2, SHORT, pixels, 0, state=states[-1])
    with pytest.raises(UserError, match="px"):
        invert(generator, targets[:, :, :16, :16], SHORT, pixels, 0)


def test_locality_keeps_the_generator_near_its_former_self() -> None:
    generator = make_generator(use_noise=False)
    targets = -own_images(generator, 1)
    base = {"w_steps": 2, "tune_steps": 40, "w_avg_samples": 50, "tune_lr": 5e-3, "locality_radius": 2.0}

    def drift(weight: float) -> float:
        config = InversionConfig(**base, locality_weight=weight)  # type: ignore[arg-type]
        tuned = invert(generator, targets, config, pixels, seed=0).generator
        ws = generator.mapping(torch.randn(8, 16, generator=torch.Generator().manual_seed(9)))
        with torch.no_grad():
            return float((tuned.synthesis(ws) - generator.synthesis(ws)).square().mean())

    assert drift(1.0) < 0.7 * drift(0.0)


def test_broken_loss_stops_with_one_line() -> None:
    generator = make_generator()
    with pytest.raises(UserError, match="not finite"):
        invert(generator, own_images(generator, 1), SHORT, lambda a, b: pixels(a, b) / 0, seed=0)
