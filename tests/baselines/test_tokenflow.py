"""TokenFlow: key frames, extended attention, the nearest-neighbour field, injection, propagation, the whole edit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.diffusion.ddim import noise_levels
from baselines.diffusion.guidance import guided
from baselines.tokenflow import editing, layers
from baselines.tokenflow.attention import Call, Kind, attended_jointly
from baselines.tokenflow.config import TokenFlowConfig
from baselines.tokenflow.editing import Captions, edited_latents
from baselines.tokenflow.key_frames import choose_key_frames, neighbours_of
from baselines.tokenflow.layers import find_layers, token_flow
from baselines.tokenflow.propagation import nearest_tokens, propagated
from emo_bench.errors import UserError
from tests.baselines.small_diffusion import FAMILIES, small_networks

EDIT = Captions("a photo of a man", "a bronze statue of a man")
SMALL: dict[str, Any] = {"steps": 4, "inversion_substeps": 1, "batch": 4}


@pytest.fixture(params=FAMILIES)
def networks(request: pytest.FixtureRequest) -> Any:
    return small_networks(request.param)


def random_clip(frames: int, seed: int = 1) -> torch.Tensor:
    """Latents of frames that have nothing in common."""
    return torch.randn(frames, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


# Key frames


def test_each_batch_has_one_key_frame_and_the_remainder_too() -> None:
    chosen = {tuple(choose_key_frames(11, 4, seed, step)) for seed in range(5) for step in range(20)}
    assert all(0 <= a < 4 <= b < 8 <= c < 11 for a, b, c in chosen)
    assert {a for a, _, _ in chosen} == {0, 1, 2, 3} and {c for _, _, c in chosen} == {8, 9, 10}
    assert choose_key_frames(11, 4, 3, 7) == choose_key_frames(11, 4, 3, 7)


def test_the_weight_of_the_future_key_frame_is_the_papers() -> None:
    found = neighbours_of([2, 3, 4, 5], [2, 6])
    assert found.past.tolist() == [0, 0, 0, 0] and found.future.tolist() == [0, 1, 1, 1]
    for weight, (to_past, to_future) in zip(found.future_weight[1:], [(1, 3), (2, 2), (3, 1)], strict=True):
        assert float(weight) == pytest.approx(1 / (1 + math.exp(-to_past / (to_past + to_future))))


def test_a_frame_outside_of_the_key_frames_has_the_closest_one_on_both_sides() -> None:
    found = neighbours_of([0, 9], [2, 6])
    assert found.past.tolist() == found.future.tolist() == [0, 1]


# Attention and propagation


def plain_attention() -> Any:
    from diffusers.models.attention_processor import Attention, AttnProcessor

    torch.manual_seed(0)
    return Attention(query_dim=16, heads=2, dim_head=8, processor=AttnProcessor()).requires_grad_(False)


def test_extended_attention_of_one_frame_is_the_self_attention_of_diffusers() -> None:
    attention, tokens = plain_attention(), torch.randn(1, 9, 16)
    torch.testing.assert_close(attended_jointly(attention, tokens), attention(tokens), atol=1e-5, rtol=1e-5)


def test_extended_attention_is_that_of_diffusers_with_the_tokens_of_all_frames() -> None:
    attention, tokens = plain_attention(), torch.randn(3, 9, 16)
    expected = attention(tokens, encoder_hidden_states=tokens.reshape(1, 27, 16).expand(3, -1, -1))
    torch.testing.assert_close(attended_jointly(attention, tokens), expected, atol=1e-5, rtol=1e-5)


def test_injected_queries_and_keys_are_those_of_the_guide() -> None:
    attention, tokens, guide = plain_attention(), torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    query, key, value = attention.to_q(guide), attention.to_k(guide), attention.to_v(tokens)
    scores = torch.einsum("fihc,gjhc->hfigj", *(each.reshape(2, 5, 2, 8) for each in (query, key))) / 8**0.5
    weights = scores.flatten(3).softmax(-1).reshape(scores.shape)
    expected = attention.to_out[0](torch.einsum("hfigj,gjhc->fihc", weights, value.reshape(2, 5, 2, 8)).flatten(2))
    torch.testing.assert_close(attended_jointly(attention, tokens, guide), expected, atol=1e-5, rtol=1e-5)


def test_the_nearest_token_has_the_largest_cosine() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(20, 6)), rng.normal(size=(30, 6)) * rng.uniform(0.1, 10, (30, 1))
    expected = [int(np.argmax([np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for b in theirs])) for a in ours]
    assert nearest_tokens(torch.from_numpy(ours), torch.from_numpy(theirs)).tolist() == expected


def test_propagation_takes_the_tokens_at_the_nearest_ones_and_blends_them() -> None:
    torch.manual_seed(0)
    key_source, key_edited = torch.randn(2, 9, 6), torch.randn(1, 2, 9, 5)
    order_past, order_future = torch.randperm(9), torch.randperm(9)
    # The tokens of the two key frames are the frame's own, in other orders and of other lengths.
    source = torch.randn(1, 9, 6)
    key_source[0, order_past], key_source[1, order_future] = 2 * source[0], 0.5 * source[0]
    found = neighbours_of([1], [0, 4])
    weight = 1 / (1 + math.exp(-1 / 4))
    expected = (1 - weight) * key_edited[0, 0, order_past] + weight * key_edited[0, 1, order_future]
    torch.testing.assert_close(propagated(source, key_source, key_edited, found)[0, 0], expected)


# Layers of a U-Net


def test_the_injected_layers_are_those_of_stable_diffusion_and_plug_and_play() -> None:
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, attention_head_dim=4, cross_attention_dim=8, sample_size=8
    )
    found = find_layers(unet)
    assert len(found.attention) == 16
    kept = "transformer_blocks.0.attn1.processor"
    blocks = [(1, 1), (1, 2), *((2, place) for place in range(3)), *((3, place) for place in range(3))]
    assert found.injected == {f"up_blocks.{block}.attentions.{place}.{kept}" for block, place in blocks}
    assert found.features is unet.up_blocks[1].resnets[1]


def test_a_decoder_of_another_depth_is_cut_at_the_same_third(networks: Any) -> None:
    found = find_layers(networks.unet)
    kept = "transformer_blocks.0.attn1.processor"
    assert found.injected == {f"up_blocks.{b}.attentions.{p}.{kept}" for b in (1, 2) for p in (0, 1)}
    assert found.features is networks.unet.up_blocks[1].resnets[0]


def test_a_network_without_attention_is_refused() -> None:
    diffusers = pytest.importorskip("diffusers")
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "mid_block_type": None}
    unet = diffusers.UNet2DConditionModel(block_out_channels=(8,), norm_num_groups=4, sample_size=8, **blocks)
    with pytest.raises(UserError, match="no self-attention layers"):
        find_layers(unet)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_the_network_is_as_before_after_an_edit_and_after_a_stop(
    networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, latents, text = networks.unet, random_clip(2), networks.embedded("a man")
    before, processors = networks.predicted(latents, 500, text), dict(unet.attn_processors)
    with token_flow(unet):
        assert dict(unet.attn_processors) != processors
        torch.testing.assert_close(networks.predicted(latents, 500, text), before, atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(type(networks), "predicted", interrupt)
    with pytest.raises(KeyboardInterrupt):
        edited(networks, latents, tmp_path)
    monkeypatch.undo()
    assert all(unet.attn_processors[name] is processor for name, processor in processors.items())
    assert not any(module._forward_hooks for module in unet.modules())
    assert torch.equal(networks.predicted(latents, 500, text), before)


def outputs_of(networks: Any, call: Call, latents: torch.Tensor, texts: torch.Tensor) -> dict[str, torch.Tensor]:
    """The outputs of the layers, each as it leaves the layer, for one call of the network."""
    found, seen = find_layers(networks.unet), {}
    modules = {name: networks.unet.get_submodule(name.removesuffix(".processor")) for name in found.attention}
    modules["features"] = found.features
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
        for name, module in modules.items()
    ]
    networks.predicted(latents, 500, texts)
    for hook in hooks:
        hook.remove()
    return seen


def test_injected_features_are_those_of_the_source(networks: Any) -> None:
    texts = torch.cat([networks.embedded(text) for text in (EDIT.source, "", EDIT.target)])
    latents = random_clip(9)
    with token_flow(networks.unet) as call:
        source = outputs_of(networks, call, latents[:3], texts[:1])["features"]
        call.kind, call.branches, call.inject_features = Kind.KEY_FRAMES, 3, True
        found = outputs_of(networks, call, latents, texts.repeat_interleave(3, 0))["features"]
        for branch in found.chunk(3):
            torch.testing.assert_close(branch, source, atol=1e-5, rtol=1e-4)
        call.inject_features = False
        loose = outputs_of(networks, call, latents, texts.repeat_interleave(3, 0))["features"]
        assert (loose.chunk(3)[2] - source).abs().max() > 0.1


def test_propagation_leaves_key_frames_as_they_are(networks: Any) -> None:
    """Key frames sent through the network a second time, as other frames, get the prediction of the first time."""
    texts = torch.cat([networks.embedded(text) for text in (EDIT.source, "", EDIT.target)])
    latents = torch.cat([random_clip(3), random_clip(3, 2), random_clip(3, 2)])
    with token_flow(networks.unet) as call:
        call.kind, call.branches, call.inject_features, call.inject_attention = Kind.KEY_FRAMES, 3, True, True
        jointly = networks.predicted(latents, 500, texts.repeat_interleave(3, 0))
        call.kind, call.neighbours = Kind.OTHER_FRAMES, neighbours_of([2, 9], [2, 5, 9])
        picked = latents.unflatten(0, (3, 3))[:, [0, 2]].flatten(0, 1)
        again = networks.predicted(picked, 500, texts.repeat_interleave(2, 0))
    torch.testing.assert_close(
        again.unflatten(0, (3, 2)), jointly.unflatten(0, (3, 3))[:, [0, 2]], atol=1e-5, rtol=1e-4
    )


def test_guidance_is_the_usual_one_and_its_deviation_can_be_that_of_the_target() -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    torch.manual_seed(0)
    negative, target = torch.randn(2, 3, 4, 8, 8).unbind()
    usual = negative + 7.5 * (target - negative)
    torch.testing.assert_close(guided(negative, target, 7.5, 0.0), usual)
    for share in (0.7, 1.0):
        expected = rescale_noise_cfg(usual, target, guidance_rescale=share)
        torch.testing.assert_close(guided(negative, target, 7.5, share), expected)


# The whole edit


def edited(networks: Any, clip: torch.Tensor, folder: Path, captions: Captions = EDIT, **settings: Any) -> torch.Tensor:
    config = TokenFlowConfig(**{**SMALL, **settings})
    return edited_latents(networks, clip, captions, config, 0, folder)


def test_eleven_frames_in_batches_of_four_are_eleven_frames(networks: Any, tmp_path: Path) -> None:
    clip = random_clip(11)
    made = edited(networks, clip, tmp_path)
    assert made.shape == clip.shape and bool(torch.isfinite(made).all())
    assert (made - clip).flatten(1).norm(dim=1).min() > 0.1


def test_equal_frames_give_equal_frames(networks: Any, tmp_path: Path) -> None:
    made = edited(networks, random_clip(1).expand(6, -1, -1, -1), tmp_path)
    torch.testing.assert_close(made, made[:1].expand(6, -1, -1, -1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("source", ["dropped", "clip"])
def test_without_edit_and_guidance_a_clip_of_equal_frames_comes_back(
    networks: Any, tmp_path: Path, source: str
) -> None:
    if source == "clip" and not networks.takes_pictures:
        pytest.skip("this network takes no source picture")
    clip = random_clip(1).expand(5, -1, -1, -1)
    same = Captions(EDIT.source, EDIT.source)
    made = edited(networks, clip, tmp_path, same, guidance_scale=1, steps=80, source=source)
    assert (made - clip).abs().max() < 0.1


def test_another_text_gives_another_clip(networks: Any, tmp_path: Path) -> None:
    clip = random_clip(3)
    bronze = edited(networks, clip, tmp_path / "bronze")
    oil = edited(networks, clip, tmp_path / "oil", Captions(EDIT.source, "an oil painting of a man"))
    assert (bronze - oil).norm() > 0.1


def test_the_first_steps_inject(networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 20 steps inject attention, four fifths inject features. The first level of v-prediction has no signal."""
    seen: list[tuple[bool, bool]] = []

    class Watched(Call):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "kind" and value is Kind.KEY_FRAMES:
                seen.append((self.inject_attention, self.inject_features))

    monkeypatch.setattr(layers, "Call", Watched)
    edited(networks, random_clip(2), tmp_path, steps=20, attention_share=0.5, features_share=0.8)
    count = len(seen)
    assert count == (20 if networks.prediction == "epsilon" else 19)
    assert seen == [(step < round(0.5 * count), step < round(0.8 * count)) for step in range(count)]


def test_a_network_in_half_precision_gives_nearly_the_same_clip(networks: Any, tmp_path: Path) -> None:
    clip, captions = random_clip(1).expand(5, -1, -1, -1), Captions(EDIT.source, EDIT.target)
    exact = edited(networks, clip, tmp_path / "exact", captions, guidance_scale=2)
    networks.unet.to(torch.bfloat16)
    half = edited(networks, clip, tmp_path / "half", captions, guidance_scale=2)
    assert half.dtype == torch.float32
    assert 0 < (half - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("killed_at", ["inversion", "edit"])
def test_a_killed_edit_goes_on_and_ends_with_the_same_clip(
    networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    clip = random_clip(11)
    whole = edited(networks, clip, tmp_path / "whole")
    inverting = (len(noise_levels(networks.scheduler, SMALL["steps"])) - 1) * 3
    left = {"inversion": inverting - 2, "edit": inverting + 9}[killed_at]
    calls = []
    predicted = type(networks).predicted

    def failing(self: Any, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == left:
            raise KeyboardInterrupt
        return predicted(self, *arguments)

    monkeypatch.setattr(type(networks), "predicted", failing)
    with pytest.raises(KeyboardInterrupt):
        edited(networks, clip, tmp_path / "cut")
    assert (tmp_path / "cut" / editing.STATE).exists() == (killed_at == "edit")
    resumed = edited(networks, clip, tmp_path / "cut")
    assert torch.equal(resumed, whole)
    done_twice = len(calls) - (inverting + (len(noise_levels(networks.scheduler, SMALL["steps"])) - 1) * 3)
    assert 0 < done_twice <= 4, done_twice
