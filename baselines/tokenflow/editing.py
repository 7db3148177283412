"""The edit of a clip: TokenFlow's algorithm (Geyer et al. 2023, algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from baselines.diffusion.ddim import denoised, noise_levels, steps_down
from baselines.diffusion.guidance import guided
from baselines.diffusion.inversion import LevelFiles, invert
from baselines.diffusion.networks import Networks, batches
from baselines.tokenflow.attention import Call, Kind
from baselines.tokenflow.config import TokenFlowConfig
from baselines.tokenflow.key_frames import choose_key_frames, neighbours_of
from baselines.tokenflow.layers import token_flow
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.progress import track_progress

INVERSION, STATE = "inversion", "edited.pt"


@dataclass(frozen=True)
class Captions:
    """What the clip shows, and what it shall show."""

    source: str
    target: str


def edited_latents(
    networks: Networks, clip: Tensor, captions: Captions, config: TokenFlowConfig, seed: int, folder: Path
) -> Tensor:
    """Return the latents of the edited clip.

    If a process was killed, inversion and edit go on from the files in ``folder``, and end with the same latents.

    Args:
        networks: the networks of a text-to-image pipeline.
        clip: the latents of the frames, float32 ``[N, c, h, w]``.
        captions: the edit.
        config: the configuration.
        seed: it chooses the key frames.
        folder: gets the inverted latents of each level and the state of the edit.

    Returns:
        float32 ``[N, c, h, w]``.
    """
    inverted = inverted_clip(networks, clip, captions.source, config, folder)
    steps = steps_down(noise_levels(networks.scheduler, config.steps))
    state = load_state(folder / STATE) or {"step": 0, "latents": inverted.read(len(steps))}
    done, latents = state["step"], state["latents"].to(networks.device)
    with (
        token_flow(networks.unet) as call,
        track_progress((len(steps) - done) * len(clip), "tokenflow: edit") as advance,
    ):
        predict = _Prediction(networks, call, captions, config, clip)
        for step, (high, low) in list(enumerate(steps))[done:]:
            call.inject_attention = step < round(config.attention_share * len(steps))
            call.inject_features = step < round(config.features_share * len(steps))
            source = inverted.read(len(steps) - step)
            assert source is not None
            both = torch.stack([source.to(networks.device), latents])
            prediction = torch.empty_like(latents)

            keys = choose_key_frames(len(clip), config.batch, seed, step)
            call.kind = Kind.KEY_FRAMES
            prediction[keys] = predict(both, keys, high.timestep)
            advance(len(keys))

            # A key frame has its own tokens already: propagation would give it the same ones.
            call.kind = Kind.OTHER_FRAMES
            others = [frame for frame in range(len(clip)) if frame not in keys]
            for frames in (others[rows] for rows in batches(len(others), config.batch)):
                call.neighbours = neighbours_of(frames, keys)
                prediction[frames] = predict(both, frames, high.timestep)
                advance(len(frames))

            latents = denoised(latents, prediction, high, low, networks.prediction)
            save_state(folder / STATE, {"step": step + 1, "latents": latents.cpu()})
    return latents


def inverted_clip(
    networks: Networks, clip: Tensor, source_caption: str, config: TokenFlowConfig, folder: Path
) -> LevelFiles:
    """Return the files with the clip's latents at each level; those that are missing are made."""
    levels, files = noise_levels(networks.scheduler, config.steps), LevelFiles(folder / INVERSION)
    with track_progress((len(levels) - 1) * len(clip), "tokenflow: inversion") as advance:
        invert(
            networks,
            clip,
            levels,
            networks.embedded(source_caption),
            files,
            substeps=config.inversion_substeps,
            batch=config.batch,
            pictures=clip if config.source == "clip" else None,
            advance=advance,
        )
    return files


class _Prediction:
    """The network's prediction for some frames of the edit, guided by the texts, with the source beside them."""

    def __init__(
        self, networks: Networks, call: Call, captions: Captions, config: TokenFlowConfig, clip: Tensor
    ) -> None:
        texts = [captions.source, config.negative_text, captions.target]
        if config.guidance_scale == 1:
            # The negative text has no weight.
            del texts[1]
        self.networks, self.config = networks, config
        self.texts = torch.cat([networks.embedded(text) for text in texts])
        self.pictures = clip if config.source == "clip" else None
        call.branches = len(texts)

    def __call__(self, source_and_edit: Tensor, frames: list[int], timestep: int) -> Tensor:
        """Return ``[n, c, h, w]`` for the ``n`` frames of the latents ``[2, N, c, h, w]`` of source and edit."""
        source, edit = source_and_edit[:, frames]
        branches = len(self.texts)
        latents = torch.cat([source, *[edit] * (branches - 1)])
        pictures = None if self.pictures is None else self.pictures[frames].repeat(branches, 1, 1, 1)
        texts = self.texts.repeat_interleave(len(frames), 0)
        predicted = self.networks.predicted(latents, timestep, texts, pictures)
        if branches == 2:
            return predicted.chunk(2)[1]
        _, negative, target = predicted.chunk(3)
        return guided(negative, target, self.config.guidance_scale, self.config.guidance_rescale)
