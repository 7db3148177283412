"""RAVE: grids of frames, shuffling, what the networks see, and the whole edit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baselines.diffusion.ddim import noise_levels
from baselines.diffusion.guided_network import Guidance, GuidedNetwork, Seen
from baselines.diffusion.inversion import LevelFiles
from baselines.diffusion.networks import Networks, load_networks
from baselines.diffusion.structure import CONTROLNET, NOISE, SOURCE, Kind
from baselines.rave import editing
from baselines.rave.config import RaveConfig
from baselines.rave.editing import edited_latents
from baselines.rave.grids import ordered_places, put_together, shuffled_places, taken_apart
from tests.baselines.small_diffusion import FAMILIES, small_networks
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

KINDS: dict[str, Kind] = {"portraits": SOURCE, "text-to-image": NOISE}


def random_frames(count: int, seed: int = 1, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


# Grids


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 5), st.integers(0, 50))
def test_what_is_shuffled_into_grids_comes_back_in_order(frames: int, side: int, seed: int, step: int) -> None:
    pictures = torch.randn(frames, 2, 3, 5, generator=torch.Generator().manual_seed(seed))
    for places in (shuffled_places(frames, side, seed, step), ordered_places(frames, side)):
        grids = put_together(pictures, places, side)
        assert grids.shape == (-(-frames // side**2), 2, 3 * side, 5 * side)
        assert torch.equal(taken_apart(grids, places, side, frames), pictures)


def test_a_grid_is_that_of_torchvision() -> None:
    from torchvision.utils import make_grid

    pictures = torch.rand(18, 3, 4, 6)
    places = shuffled_places(18, 3, 0, 0)
    expected = torch.stack([make_grid(pictures[places[at : at + 9]], nrow=3, padding=0) for at in (0, 9)])
    assert torch.equal(put_together(pictures, places, 3), expected)


def test_every_step_shuffles_anew_over_all_grids_and_only_seed_and_step_decide() -> None:
    shuffles = [tuple(shuffled_places(75, 3, 4, step).tolist()) for step in range(20)]
    assert len(set(shuffles)) == 20 and shuffles[3] == tuple(shuffled_places(75, 3, 4, 3).tolist())
    assert shuffles[3] != tuple(shuffled_places(75, 3, 5, 3).tolist())
    # The first grid sees frames of the whole clip, and different ones in each step.
    firsts = {frame for shuffle in shuffles for frame in shuffle[:9]}
    assert len(firsts) > 60


def test_the_places_that_are_left_show_frames_of_another_grid_once_more() -> None:
    places = shuffled_places(75, 3, 0, 0).tolist()
    assert len(places) == 81 and sorted(places[:75]) == list(range(75))
    assert set(places[75:]) <= set(places[:9]) and not set(places[75:]) & set(places[72:75])


# The edit


@pytest.fixture(params=FAMILIES)
def predict(request: pytest.FixtureRequest) -> GuidedNetwork:
    return guided(with_exact_autoencoder(small_networks(request.param)), KINDS[request.param])


def guided(networks: Networks, kind: Kind, **changed: Any) -> GuidedNetwork:
    guidance = Guidance(kind, "a bronze statue", "", 4.0, 1.5, 0.0)
    return GuidedNetwork(networks, dataclasses.replace(guidance, **changed))


def with_exact_autoencoder(networks: Networks) -> Networks:
    """Latents are the pixels and a copy of the red channel, so that random frames give random latents."""
    vae = SimpleNamespace(
        dtype=torch.float32,
        config=SimpleNamespace(scaling_factor=1.0, get=lambda name: None),
        encode=lambda pixels: SimpleNamespace(
            latent_dist=SimpleNamespace(mode=lambda: torch.cat([pixels, pixels[:, :1]], 1))
        ),
    )
    return dataclasses.replace(networks, vae=vae)


def edited(predict: Any, frames: np.ndarray, folder: Path, seed: int = 0, **settings: Any) -> torch.Tensor:
    return edited_latents(predict, frames, RaveConfig(**{"steps": 3, **settings}), seed, folder)


@pytest.mark.parametrize("count", [75, 9, 4])
def test_as_many_frames_come_out_as_went_in(predict: GuidedNetwork, count: int, tmp_path: Path) -> None:
    made = edited(predict, random_frames(count), tmp_path, steps=2)
    assert made.shape == (count, 4, 8, 8) and bool(torch.isfinite(made).all())


@pytest.mark.parametrize("count", [9, 11])
def test_equal_frames_give_equal_frames_where_a_grid_has_no_edge(
    predict: GuidedNetwork, count: int, tmp_path: Path
) -> None:
    """Convolutions that go on at the opposite side see no edge, and attention knows no place: all frames are alike."""
    frames = np.repeat(random_frames(1), count, axis=0)
    plain = edited(predict, frames, tmp_path / "edge")
    for module in predict.networks.unet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = "circular"
    made = edited(predict, frames, tmp_path / "none")
    torch.testing.assert_close(made, made[:1].expand_as(made), atol=1e-4, rtol=1e-4)
    assert (plain - plain[:1]).abs().max() > 1e-3


def test_frames_of_a_grid_are_edited_together_and_others_are_not(predict: GuidedNetwork, tmp_path: Path) -> None:
    frames, others = random_frames(9), random_frames(9)
    others[0] = random_frames(1, seed=2)[0]
    moved = {}
    for side in (3, 1):
        one, other = (
            edited(predict, each, tmp_path / f"{side}{n}", grid_side=side) for n, each in enumerate((frames, others))
        )
        moved[side] = (one - other).abs().amax((1, 2, 3))
    assert bool((moved[3] > 1e-5).all()), "every frame sees the first one"
    assert moved[1][0] > 1e-2 and bool((moved[1][1:] < 1e-5).all())


def test_the_same_seed_gives_the_same_clip_and_another_seed_another_one(predict: GuidedNetwork, tmp_path: Path) -> None:
    frames = random_frames(11)
    first, again, other = (edited(predict, frames, tmp_path / str(n), seed) for n, seed in enumerate((3, 3, 4)))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4
    still = [edited(predict, frames, tmp_path / f"still{seed}", seed, shuffle=False) for seed in (3, 4)]
    assert torch.equal(*still)


def test_more_grids_at_once_give_the_same_clip(predict: GuidedNetwork, tmp_path: Path) -> None:
    frames = random_frames(20)
    one, two = (edited(predict, frames, tmp_path / str(batch), batch=batch) for batch in (1, 2))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_what_the_networks_see_is_shuffled_as_the_noise_is(tmp_path: Path) -> None:
    """A prediction that compares each latent with what is seen at its place is the same with and without grids."""
    networks = with_exact_autoencoder(small_networks("portraits"))

    class Comparing:
        def __init__(self, kind: Kind) -> None:
            self.networks, self.guidance = networks, Guidance(kind, "", "", 1.0, 1.0, 0.0, edges=(1.0, 2.0))

        def __call__(self, latents: torch.Tensor, timestep: int, seen: Seen) -> torch.Tensor:
            shown = seen.sources if seen.hints is None else seen.hints[:, :1].float() / 255
            assert shown is not None and shown.shape[2:] == latents.shape[2:]
            return latents - 0.3 * shown

    frames, found = random_frames(20), {}
    for kind in (SOURCE, CONTROLNET):
        predict: Any = Comparing(kind)
        if kind == CONTROLNET:
            # The inversion would need a real ControlNet.
            for number, latents in enumerate(LevelFiles(tmp_path / "source3" / "inversion").read(n) for n in range(3)):
                for side in (3, 1):
                    assert latents is not None
                    LevelFiles(tmp_path / f"controlnet{side}" / "inversion").write(number, latents)
        for side in (3, 1):
            found[side] = edited(predict, frames, tmp_path / f"{kind}{side}", grid_side=side)
        torch.testing.assert_close(found[3], found[1], atol=1e-6, rtol=1e-5)
        assert (found[3] - found[3].roll(1, 0)).abs().max() > 0.1


@pytest.mark.parametrize("side", [1, 2])
def test_without_shuffling_a_grid_is_edited_as_the_pipeline_of_diffusers_edits_one_picture(
    side: int, tmp_path: Path
) -> None:
    import diffusers

    networks = load_networks(save_tiny_text_to_image(tmp_path / "pipeline"), "cpu")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    predict = guided(networks, NOISE, text="abc")
    found = edited(predict, random_frames(side**2, side=16), tmp_path, grid_side=side, shuffle=False)
    inverted = LevelFiles(tmp_path / "inversion").read(3)
    assert inverted is not None
    places = ordered_places(side**2, side)
    expected = pipeline(
        "abc", num_inference_steps=3, guidance_scale=4.0, output_type="latent", height=16 * side, width=16 * side,
        latents=put_together(inverted, places, side),
    ).images  # fmt: skip
    torch.testing.assert_close(put_together(found, places, side), expected, atol=1e-4, rtol=1e-3)


def test_the_controlnet_sees_the_frames_in_the_inversion_too(tmp_path: Path) -> None:
    import diffusers

    networks = load_networks(save_tiny_pipeline(tmp_path / "pipeline"), "cpu")
    torch.manual_seed(1)
    control = diffusers.ControlNetModel.from_unet(networks.unet, conditioning_embedding_out_channels=(4, 8))
    for name, weights in control.named_parameters():
        # A ControlNet adds nothing before its training.
        if "controlnet_" in name:
            weights.data.normal_(std=0.5)
    top = {}
    for scale in (0.0, 1.0):
        predict = guided(networks, CONTROLNET, control=control.eval().requires_grad_(False), control_scale=scale)
        edited(predict, random_frames(5, side=16), tmp_path / str(scale), grid_side=2)
        levels = noise_levels(networks.scheduler, 3)
        top[scale] = LevelFiles(tmp_path / str(scale) / "inversion").read(len(levels) - 1)
    assert (top[0.0] - top[1.0]).abs().max() > 1e-3  # type: ignore[operator]


@pytest.mark.parametrize("killed_at", ["inversion", "edit"])
def test_a_killed_edit_goes_on_and_ends_with_the_same_clip(
    predict: GuidedNetwork, killed_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = random_frames(20)
    whole = edited(predict, frames, tmp_path / "whole")
    # 20 frames are three batches of the inversion and three grids of the edit.
    calls, steps = [], len(noise_levels(predict.networks.scheduler, 3)) - 1
    left = {"inversion": 3 * steps - 1, "edit": 3 * steps + 5}[killed_at]
    predicted = Networks.predicted

    def failing(self: Any, *arguments: Any, **named: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == left:
            raise KeyboardInterrupt
        return predicted(self, *arguments, **named)

    monkeypatch.setattr(Networks, "predicted", failing)
    with pytest.raises(KeyboardInterrupt):
        edited(predict, frames, tmp_path / "cut")
    assert (tmp_path / "cut" / editing.STATE).exists() == (killed_at == "edit")
    assert torch.equal(edited(predict, frames, tmp_path / "cut"), whole)
    assert 0 < len(calls) - 6 * steps <= 3, "only the step that was cut is done again"
