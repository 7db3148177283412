"""DDIM steps against diffusers' own, the levels of both kinds of schedules, and the inversion of a clip."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from baselines.diffusion.ddim import denoised, level_at, levels_between, noise_levels, noised, require_kind, steps_down
from baselines.diffusion.inversion import LevelFiles, invert
from baselines.diffusion.networks import batches, load_networks
from emo_bench.errors import UserError
from tests.baselines.small_diffusion import FAMILIES, scheduler_of, small_networks
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

# As the pipelines of diffusers call the tokenizer.
PADDED = {"padding": "max_length", "max_length": 16, "truncation": True}


@pytest.fixture(params=FAMILIES)
def networks(request: pytest.FixtureRequest) -> Any:
    return small_networks(request.param)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sampling_takes_the_steps_of_diffusers(family: str) -> None:
    scheduler = scheduler_of(family)
    steps = steps_down(noise_levels(scheduler, 10))
    torch.manual_seed(0)
    ours = theirs = torch.randn(2, 4, 8, 8)
    for high, low in steps:
        prediction = torch.randn_like(ours)
        ours = denoised(ours, prediction, high, low, scheduler.config.prediction_type)
        theirs = scheduler.step(prediction, high.timestep, theirs, eta=0.0).prev_sample
    assert len(steps) == {"text-to-image": 10, "portraits": 9}[family]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_level_without_signal_is_left_out() -> None:
    scheduler = scheduler_of("portraits")
    levels = noise_levels(scheduler, 10)
    assert int(scheduler.timesteps[0]) == 999 and float(scheduler.alphas_cumprod[999]) == 0
    assert [level.timestep for level in levels] == [0, *range(99, 999, 100)]
    assert levels[0].signal == 1 and 0 < levels[-1].signal < 0.2


def test_stable_diffusion_keeps_all_levels_and_ends_at_its_own_clean_one() -> None:
    scheduler = scheduler_of("text-to-image")
    levels = noise_levels(scheduler, 10)
    assert [level.timestep for level in levels] == [0, *range(1, 1000, 100)]
    assert levels[0].signal ** 2 == pytest.approx(float(scheduler.alphas_cumprod[0]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_backwards_undoes_the_step(family: str) -> None:
    scheduler = scheduler_of(family)
    kind, low, high = scheduler.config.prediction_type, level_at(scheduler, 300), level_at(scheduler, 340)
    torch.manual_seed(0)
    latents, prediction = torch.randn(2, 1, 4, 8, 8).unbind()
    there = noised(latents, prediction, high, low, kind)
    torch.testing.assert_close(denoised(there, prediction, high, low, kind), latents, rtol=1e-5, atol=1e-5)


def test_the_levels_between_two_are_evenly_spread_and_never_doubled() -> None:
    scheduler = scheduler_of("text-to-image")
    between = levels_between(scheduler, level_at(scheduler, 100), level_at(scheduler, 140), 4)
    assert [level.timestep for level in between] == [100, 110, 120, 130, 140]
    clean, first = noise_levels(scheduler, 10)[:2]
    assert levels_between(scheduler, clean, first, 10) == [clean, first]


def test_a_network_that_predicts_the_picture_is_refused() -> None:
    with pytest.raises(UserError, match="predicts 'sample'"):
        require_kind("sample")


class GaussianDenoiser(torch.nn.Module):
    """The best possible network for pictures whose pixels are independent and normal with one deviation."""

    dtype = torch.float32

    def __init__(self, scheduler: Any, deviation: float) -> None:
        super().__init__()
        self.config, self.anything = SimpleNamespace(in_channels=4), torch.nn.Parameter(torch.zeros(1))
        self.scheduler, self.deviation = scheduler, deviation

    def forward(self, latents: torch.Tensor, timestep: int, encoder_hidden_states: torch.Tensor) -> Any:
        level = level_at(self.scheduler, timestep)
        variance = (level.signal * self.deviation) ** 2 + level.noise**2
        picture = level.signal * self.deviation**2 / variance * latents
        noise = level.noise / variance * latents
        v = level.signal * noise - level.noise * picture
        return SimpleNamespace(sample=noise if self.scheduler.config.prediction_type == "epsilon" else v)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_inversion_of_normal_pictures_is_the_flow_that_theory_gives(family: str, tmp_path: Path) -> None:
    """The flow of such pictures only scales them, to the deviation of each level."""
    networks, deviation = small_networks(family), 0.6
    networks = dataclasses.replace(networks, unet=GaussianDenoiser(networks.scheduler, deviation))
    torch.manual_seed(1)
    clip, errors = deviation * torch.randn(2, 4, 8, 8), []
    for steps in (10, 40, 160):
        levels, files = noise_levels(networks.scheduler, steps), LevelFiles(tmp_path / str(steps))
        invert(networks, clip, levels, networks.embedded("a man"), files, substeps=1, batch=2)
        top = files.read(len(levels) - 1)
        assert top is not None
        first, last = ((level.signal * deviation) ** 2 + level.noise**2 for level in (levels[0], levels[-1]))
        errors.append(float((top / clip / (last / first) ** 0.5 - 1).abs().max()))
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2], errors
    assert errors[2] < 0.02, errors


def reconstruction_error(networks: Any, clip: torch.Tensor, steps: int, folder: Path) -> float:
    """The largest error of the latents after inversion and sampling without guidance, as a share of their deviation."""
    levels, files, text = noise_levels(networks.scheduler, steps), LevelFiles(folder), networks.embedded("a man")
    invert(networks, clip, levels, text, files, substeps=1, batch=2)
    latents = files.read(len(levels) - 1)
    assert latents is not None
    for high, low in steps_down(levels):
        prediction = networks.predicted(latents, high.timestep, text)
        latents = denoised(latents, prediction, high, low, networks.prediction)
    return float((latents - clip).abs().max() / clip.std())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sampling_returns_to_normal_pictures_and_closer_with_more_steps(family: str, tmp_path: Path) -> None:
    networks = small_networks(family)
    networks = dataclasses.replace(networks, unet=GaussianDenoiser(networks.scheduler, 0.6))
    torch.manual_seed(1)
    clip = 0.6 * torch.randn(2, 4, 8, 8)
    errors = [reconstruction_error(networks, clip, steps, tmp_path / str(steps)) for steps in (10, 40, 160)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2], errors
    assert errors[2] < 0.1, errors


def test_the_sampling_of_a_unet_returns_to_the_clip(networks: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    clip = torch.randn(2, 4, 8, 8)
    assert reconstruction_error(networks, clip, 80, tmp_path) < 0.1


def test_more_substeps_bring_the_inversion_closer_to_that_of_many_steps(networks: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    clip, levels, text = torch.randn(2, 4, 8, 8), noise_levels(networks.scheduler, 5), networks.embedded("a man")
    found = {}
    for substeps in (1, 4, 64):
        files = LevelFiles(tmp_path / str(substeps))
        invert(networks, clip, levels, text, files, substeps=substeps, batch=2)
        found[substeps] = files.read(len(levels) - 1)
    assert (found[4] - found[64]).norm() < 0.7 * (found[1] - found[64]).norm()


def test_an_inversion_goes_on_after_its_last_file_and_makes_a_damaged_one_again(networks: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    clip, levels, text = torch.randn(5, 4, 8, 8), noise_levels(networks.scheduler, 4), networks.embedded("a man")
    whole, cut = LevelFiles(tmp_path / "whole"), LevelFiles(tmp_path / "cut")
    invert(networks, clip, levels, text, whole, substeps=2, batch=2)
    invert(networks, clip, levels[:3], text, cut, substeps=2, batch=2)
    (tmp_path / "cut" / "level-0001.pt").write_bytes(b"half")
    went = []
    invert(networks, clip, levels, text, cut, substeps=2, batch=2, advance=went.append)
    assert went == [5] * (len(levels) - 1)
    for number in range(len(levels)):
        assert torch.equal(cut.read(number), whole.read(number))  # type: ignore[arg-type]


def test_batches_have_every_frame_once() -> None:
    assert [list(range(11))[rows] for rows in batches(11, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize("save", [save_tiny_text_to_image, save_tiny_pipeline])
def test_both_families_load_from_a_folder_and_compute_as_diffusers_does(save: Any, tmp_path: Path) -> None:
    import diffusers

    folder = save(tmp_path / "pipeline")
    networks, whole = load_networks(folder, "cpu"), diffusers.DiffusionPipeline.from_pretrained(str(folder))
    torch.manual_seed(0)
    latents = torch.randn(2, 4, 8, 8)
    text = networks.embedded("a man")
    tokens = whole.tokenizer(["a man"], return_tensors="pt", **PADDED)["input_ids"]
    torch.testing.assert_close(text, whole.text_encoder(tokens)[0])
    seen = torch.cat([latents, torch.zeros(2, whole.unet.config.in_channels - 4, 8, 8)], 1)
    with torch.no_grad():
        expected = whole.unet(seen, 500, text.expand(2, -1, -1)).sample
    torch.testing.assert_close(networks.predicted(latents, 500, text), expected)

    if networks.takes_pictures:
        # The pipeline puts the unscaled latents of the source beside the noisy ones.
        with torch.no_grad():
            expected = whole.unet(torch.cat([latents, seen[:, 4:] + 0.5], 1), 500, text.expand(2, -1, -1)).sample
        pictures = torch.full_like(latents, 0.5 * whole.vae.config.scaling_factor)
        torch.testing.assert_close(networks.predicted(latents, 500, text, pictures), expected)

    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    encoded = networks.encoded(frames, batch=2)
    with torch.no_grad():
        pixels = whole.image_processor.preprocess((frames / 255.0).astype(np.float32))
        expected = whole.vae.encode(pixels).latent_dist.mode() * whole.vae.config.scaling_factor
        pictures = whole.vae.decode(encoded / whole.vae.config.scaling_factor).sample
    torch.testing.assert_close(encoded, expected)
    expected_u8 = (whole.image_processor.postprocess(pictures, output_type="np") * 255).round().astype(np.uint8)
    assert np.array_equal(np.stack(list(networks.decoded(encoded, batch=2))), expected_u8)


def test_a_folder_without_a_pipeline_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    with pytest.raises(UserError, match="no pipeline of Stable Diffusion: unet: ") as raised:
        load_networks(tmp_path, "cpu")
    assert "\n" not in str(raised.value)
