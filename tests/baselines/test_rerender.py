"""Rerender-A-Video: cross-frame attention, the latents of key frames, and how key frames are painted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from baselines.diffusion.controlnet import edges_of
from baselines.diffusion.ddim import denoised, noise_levels, picture_and_noise
from baselines.diffusion.guided_network import Guidance
from baselines.diffusion.networks import Networks, load_networks
from baselines.diffusion.structure import NOISE, SOURCE, Kind
from baselines.rerender.config import RerenderConfig
from baselines.rerender.cross_frame import CrossFrameAttention, SeenTokens, cross_frame_attention
from baselines.rerender.flow import FlowFinder, Motion
from baselines.rerender.key_frames import STATE, key_positions, painted_key_frames
from baselines.rerender.latents import faithful_latents, warped_latents, with_statistics
from tests.baselines.small_diffusion import FAMILIES, scheduler_of, small_networks
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

SIDE = 16
STILL = FlowFinder("still", lambda now, then: np.zeros((*now.shape[:2], 2), np.float32))
CONFIG = RerenderConfig(steps=5)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


# Cross-frame attention


def plain_layer() -> Any:
    from diffusers.models.attention_processor import Attention, AttnProcessor

    torch.manual_seed(0)
    return Attention(query_dim=16, heads=2, dim_head=8, processor=AttnProcessor()).requires_grad_(False)


def test_cross_frame_attention_of_one_frame_is_the_self_attention_of_diffusers() -> None:
    layer, frame, seen = plain_layer(), torch.randn(3, 9, 16), SeenTokens()
    attend = CrossFrameAttention(seen, "layer")
    torch.testing.assert_close(attend(layer, frame), layer(frame), atol=1e-5, rtol=1e-5)
    # An equal second frame sees the same tokens twice, which changes no weighted mean.
    seen.finish_frame()
    torch.testing.assert_close(attend(layer, frame), layer(frame), atol=1e-5, rtol=1e-5)


def test_a_later_frame_sees_the_first_and_the_previous_one_at_the_same_step() -> None:
    layer, seen = plain_layer(), SeenTokens()
    attend, frames = CrossFrameAttention(seen, "layer"), torch.randn(4, 2, 3, 9, 16)
    for frame in frames:
        for step in (0, 1):
            seen.step = step
            found = attend(layer, frame[step])
        seen.finish_frame()
    both = torch.cat([frames[0, 1], frames[2, 1]], 1)
    expected = layer(frames[3, 1], encoder_hidden_states=both)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_decoder_attends_to_other_frames_and_only_inside_the_block(family: str) -> None:
    networks, seen = small_networks(family), SeenTokens()
    latents, text = torch.randn(1, 4, 8, 8), networks.embedded("a man")
    before = networks.predicted(latents, 500, text)
    with cross_frame_attention(networks.unet, seen):
        torch.testing.assert_close(networks.predicted(latents, 500, text), before, atol=1e-6, rtol=1e-4)
        assert seen.current and all(key.startswith("up_blocks.") for key in seen.current)
        seen.finish_frame()
        other = networks.predicted(latents + 1, 500, text)
    plain = networks.predicted(latents + 1, 500, text)
    assert (other - plain).abs().max() > 1e-4
    assert torch.equal(networks.predicted(latents, 500, text), before)


# Latents


def test_adain_gives_exactly_the_mean_and_the_deviation_of_the_target() -> None:
    torch.manual_seed(0)
    latents, target = torch.randn(1, 4, 8, 8), 3 * torch.randn(1, 4, 8, 8) + 5
    found = with_statistics(latents, target)
    torch.testing.assert_close(found.mean((2, 3)), target.mean((2, 3)))
    torch.testing.assert_close(found.std((2, 3)), target.std((2, 3)))
    assert with_statistics(torch.ones(1, 4, 8, 8), target).isfinite().all()


def test_latents_move_as_pictures_do() -> None:
    latents = torch.randn(1, 4, 8, 8)
    flow = np.broadcast_to(np.array([2, -1], np.float32), (8, 8, 2)).copy()
    moved = warped_latents(latents, Motion(flow, np.ones((8, 8), np.float32)))
    assert torch.equal(moved[..., 1:, :-2], torch.roll(latents, (1, -2), (2, 3))[..., 1:, :-2])


class LossyAutoencoder:
    """It loses a tenth of the picture each time."""

    dtype = torch.float32
    config = SimpleNamespace(scaling_factor=0.5, get=lambda name: None)

    def encode(self, pixels: torch.Tensor) -> Any:
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: 0.9 * pixels))

    def decode(self, latents: torch.Tensor) -> Any:
        return SimpleNamespace(sample=latents)


def test_the_faithful_encoding_makes_up_for_most_of_the_loss() -> None:
    networks = Networks(None, LossyAutoencoder(), None, None, None)
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, 8, 8) * 2 - 1
    plain = networks.decoded_pixels(networks.encoded_pixels(pixels))
    faithful = networks.decoded_pixels(faithful_latents(networks, pixels))
    torch.testing.assert_close(plain, 0.9 * pixels)
    # 0.9 + (0.9 - 0.9²)
    torch.testing.assert_close(faithful, 0.99 * pixels)


def test_a_repair_that_makes_a_place_wrong_is_left_out_there() -> None:
    class Spoilt(LossyAutoencoder):
        def decode(self, latents: torch.Tensor) -> Any:
            pixels = latents.clone()
            pixels[..., 0, 0] *= -1
            return SimpleNamespace(sample=pixels)

    networks = Networks(None, Spoilt(), None, None, None)
    pixels = torch.full((1, 3, 8, 8), 0.5)
    found, plain = faithful_latents(networks, pixels), networks.encoded_pixels(pixels)
    assert torch.equal(found[..., 0, 0], plain[..., 0, 0])
    torch.testing.assert_close(found[..., 1:, 1:], plain[..., 1:, 1:] * 0.99 / 0.9)


@pytest.mark.parametrize("family", FAMILIES)
def test_picture_and_noise_make_up_the_step_of_the_sampling(family: str) -> None:
    scheduler = scheduler_of(family)
    low, high = noise_levels(scheduler, 5)[2:4]
    latents, prediction = torch.randn(2, 1, 4, 8, 8).unbind()
    clean, gaussian = picture_and_noise(latents, prediction, high, scheduler.config.prediction_type)
    expected = denoised(latents, prediction, high, low, scheduler.config.prediction_type)
    torch.testing.assert_close(low.signal * clean + low.noise * gaussian, expected, atol=1e-5, rtol=1e-4)


def test_edges_are_white_on_black_where_a_square_ends() -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[8:24, 8:24] = 200
    edges = edges_of(frame, (50, 100))
    assert set(np.unique(edges)) == {0, 255} and edges[16, 7:9].any() and not edges[16, 12:20].any()


# Key frames


@pytest.mark.parametrize(
    ("frames", "expected"), [(13, [0, 10, 12]), (11, [0, 10]), (1, [0]), (21, [0, 10, 20]), (5, [0, 4])]
)
def test_every_tenth_frame_and_the_last_one_are_key_frames(frames: int, expected: list[int]) -> None:
    assert key_positions(frames, 10) == expected


@pytest.fixture(params=[SOURCE, NOISE])
def structure(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def networks(structure: Kind, tmp_path: Path) -> Networks:
    save = save_tiny_pipeline if structure == SOURCE else save_tiny_text_to_image
    return load_networks(save(tmp_path / "pipeline"), "cpu")


def painted(
    networks: Networks, frames: list[np.ndarray], structure: Kind, folder: Path, strength: float = 1.0, **changed: Any
) -> np.ndarray:
    guidance = Guidance(structure, "abc", "", 4.0, 1.5, 0.0)
    config = CONFIG.model_copy(update=changed)
    return painted_key_frames(networks, np.stack(frames), guidance, STILL, config, strength, 3, folder)


def exact_autoencoder() -> Any:
    """It keeps every pixel, and so differences between frames, which a random one makes tiny."""
    return SimpleNamespace(
        dtype=torch.float32,
        config=SimpleNamespace(scaling_factor=1.0, get=lambda name: None),
        encode=lambda pixels: SimpleNamespace(
            latent_dist=SimpleNamespace(mode=lambda: torch.cat([pixels, pixels[:, :1]], 1))
        ),
        decode=lambda latents: SimpleNamespace(sample=latents[:, :3]),
    )


def test_the_first_key_frame_is_what_the_pipeline_of_diffusers_paints(
    networks: Networks, structure: Kind, tmp_path: Path
) -> None:
    import diffusers
    from PIL import Image

    kind = "StableDiffusionInstructPix2PixPipeline" if structure == SOURCE else "StableDiffusionPipeline"
    pipeline = getattr(diffusers, kind).from_pretrained(tmp_path / "pipeline", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    # The scheduler of the random InstructPix2Pix clips latents, which no real one does.
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, clip_sample=False)
    latents = torch.randn(networks.encoded(noise(1)[None], 1).shape, generator=torch.Generator().manual_seed(3))
    start = noise_levels(networks.scheduler, 5, pure_noise=True)[-1]
    recorded = networks.encoded(noise(1)[None], 1)
    given: dict[str, Any] = {"latents": start.signal * recorded + start.noise * latents}
    given |= {"image": Image.fromarray(noise(1)), "image_guidance_scale": 1.5} if structure == SOURCE else {}
    expected = pipeline("abc", num_inference_steps=5, guidance_scale=4.0, output_type="np", **given).images[0]
    found = painted(networks, [noise(1)], structure, tmp_path)[0]
    assert np.abs(found - expected * 255).max() <= 1


def test_equal_frames_give_equal_key_frames(networks: Networks, structure: Kind, tmp_path: Path) -> None:
    """The autoencoder loses nothing here; with the fusion, its loss would separate them."""
    networks = dataclasses.replace(networks, vae=exact_autoencoder())
    given: dict[str, Any] = {"strength": 0.6, "fuse_weight": 0.0}
    made = painted(networks, [noise(1)] * 3, structure, tmp_path / "equal", **given)
    assert np.ptp(made.astype(int), axis=0).max() <= 1
    other = painted(networks, [noise(1), noise(2)], structure, tmp_path / "other", **given)
    assert np.abs(other[1].astype(int) - other[0]).max() > 10


def test_more_weight_of_the_fusion_brings_a_key_frame_closer_to_the_first_one(
    networks: Networks, structure: Kind, tmp_path: Path
) -> None:
    """Without flow and occlusion, its target is the first key frame; an exact autoencoder keeps it."""
    networks = dataclasses.replace(networks, vae=exact_autoencoder())
    distances = []
    for weight in (0.0, 0.5, 1.0):
        made = painted(
            networks, [noise(1), noise(2)], structure, tmp_path / str(weight), fuse_weight=weight, fuse_until=1.0,
            warp_until=0.0, colour_from=1.0,
        )  # fmt: skip
        distances.append(float(np.abs(made[1].astype(float) - made[0]).mean()))
    assert distances[0] > 1.2 * distances[1] > 1.2 * distances[2], distances
    assert distances[2] < 1


def test_a_killed_painting_goes_on_and_ends_with_the_same_key_frames(
    networks: Networks, structure: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [noise(seed) for seed in range(4)]
    whole = painted(networks, frames, structure, tmp_path / "whole")
    painted(networks, frames[:2], structure, tmp_path / "cut")
    calls: list[int] = []
    predicted = Networks.predicted

    def counted(self: Any, *given: Any, **named: Any) -> torch.Tensor:
        calls.append(1)
        return predicted(self, *given, **named)

    monkeypatch.setattr(Networks, "predicted", counted)
    assert np.array_equal(painted(networks, frames, structure, tmp_path / "cut"), whole)
    # Two key frames of five steps each, and the last steps of each a second time.
    fused = [step for step in range(5) if 0.5 <= step / 5 < 0.8]
    assert len(calls) == 2 * (5 + 5 - fused[0])
    assert (tmp_path / "cut" / STATE).is_file()
