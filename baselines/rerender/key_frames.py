"""Key frames, painted one after the other and held together by those that are there (Yang et al. 2023, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.ddim import Level, noise_levels, picture_and_noise, steps_down
from baselines.diffusion.guided_network import Guidance, GuidedNetwork, Seen, seen_of
from baselines.diffusion.networks import Networks
from baselines.rerender.config import RerenderConfig
from baselines.rerender.cross_frame import SeenTokens, cross_frame_attention
from baselines.rerender.flow import FlowFinder, Motion, find_motion
from baselines.rerender.latents import faithful_latents, mixed, warped_latents, with_statistics
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.progress import track_progress

STATE = "key-frames.pt"


def key_positions(frames: int, interval: int) -> list[int]:
    """Return every ``interval``-th frame, and the last one."""
    return sorted({*range(0, frames, interval), frames - 1})


@dataclass
class _Painted:
    """What is kept of the key frames that are there.

    Attributes:
        pictures: the key frames, ``uint8 [S, S, 3]``.
        predicted: the clean latents that the network saw in each step of the first key frame.
        tokens: tokens of the first and of the last one.
    """

    pictures: list[NDArray[np.uint8]] = field(default_factory=list)
    predicted: list[Tensor] = field(default_factory=list)
    tokens: SeenTokens = field(default_factory=SeenTokens)


@dataclass(frozen=True)
class _Neighbours:
    """What a key frame takes from those before it.

    Attributes:
        first, previous: motion from the first and from the previous key frame to this one.
        first_picture, previous_picture: these two as painted, ``uint8 [S, S, 3]``.
    """

    first: Motion
    previous: Motion
    first_picture: NDArray[np.uint8]
    previous_picture: NDArray[np.uint8]

    def pasted_on(self, draft: Tensor) -> Tensor:
        """Return the pixels ``[1, 3, S, S]`` of a draft with those of the two key frames wherever they are visible."""
        pixels = draft
        for motion, picture in ((self.previous, self.previous_picture), (self.first, self.first_picture)):
            moved = torch.from_numpy(motion.warped(picture)).permute(2, 0, 1)[None].to(draft) / 127.5 - 1
            pixels = mixed(pixels, moved, torch.from_numpy(motion.visible)[None, None].to(draft))
        return pixels

    def visible(self, side: int) -> Tensor:
        """Return on the grid of the latents where one of the two is visible, ``[1, 1, side, side]``."""
        both = np.maximum(self.first.visible, self.previous.visible)
        return torch.from_numpy(Motion(self.first.flow, both).on_grid(side).visible)[None, None]


def painted_key_frames(
    networks: Networks,
    frames_u8: NDArray[np.uint8],
    guidance: Guidance,
    finder: FlowFinder,
    config: RerenderConfig,
    strength: float,
    seed: int,
    folder: Path,
) -> NDArray[np.uint8]:
    """Return the edited key frames.

    If a process was killed, the work goes on after the last finished key frame, and ends with the same frames.

    Args:
        networks: the networks.
        frames_u8: the recorded key frames, ``uint8 [K, S, S, 3]``.
        guidance: text and structure.
        finder: finds the flow between recorded frames.
        config: the configuration.
        strength: share of the steps that are taken; with 1 the sampling starts from pure noise.
        seed: seed of the noise, which is the same for all key frames.
        folder: gets the state.

    Returns:
        ``uint8 [K, S, S, 3]``.
    """
    painter = _Painter(GuidedNetwork(networks, guidance), config, strength, seed)
    painted = _read(folder / STATE)
    done = len(painted.pictures)
    with (
        cross_frame_attention(networks.unet, painted.tokens),
        track_progress(len(frames_u8), "rerender: key frames", done=done) as advance,
    ):
        for number in range(done, len(frames_u8)):
            now = frames_u8[number]
            neighbours = None
            if painted.pictures:
                first, previous = (find_motion(finder, now, then) for then in (frames_u8[0], frames_u8[number - 1]))
                neighbours = _Neighbours(first, previous, painted.pictures[0], painted.pictures[-1])
            start = networks.encoded(now[None], 1)
            latents = painter.paint(start, seen_of(guidance, now[None], start), painted, neighbours)
            painted.pictures.extend(networks.decoded(latents, 1))
            painted.tokens.finish_frame()
            folder.mkdir(parents=True, exist_ok=True)
            save_state(folder / STATE, _state(painted))
            advance()
    return np.stack(painted.pictures)


class _Painter:
    """The sampling of one key frame."""

    def __init__(self, predict: GuidedNetwork, config: RerenderConfig, strength: float, seed: int) -> None:
        networks = predict.networks
        levels = noise_levels(networks.scheduler, config.steps, pure_noise=True)
        taken = max(1, round(strength * (len(levels) - 1)))
        self.predict, self.networks, self.config, self.seed = predict, networks, config, seed
        self.steps: list[tuple[Level, Level]] = steps_down(levels[: taken + 1])

    def paint(self, recorded: Tensor, seen: Seen, painted: _Painted, neighbours: _Neighbours | None) -> Tensor:
        """Return the clean latents ``[1, c, h, w]`` of a key frame whose recorded latents are ``recorded``."""
        start, noise = self.steps[0][0], torch.randn(recorded.shape, generator=torch.Generator().manual_seed(self.seed))
        latents = start.signal * recorded + start.noise * noise.to(recorded)
        fused = [number for number in range(len(self.steps)) if self._fuses(number)] if neighbours else []
        before_fusion = latents
        for number in range(len(self.steps)):
            if fused and number == fused[0]:
                before_fusion = latents
            latents = self._step(number, latents, seen, painted, neighbours)
        if neighbours is None or not fused:
            return latents
        # The first passage gave a draft. Pixels of other key frames are pasted on it, and the rest is painted again.
        target = faithful_latents(self.networks, neighbours.pasted_on(self.networks.decoded_pixels(latents)))
        weight = self.config.fuse_weight * neighbours.visible(latents.shape[-1]).to(latents)
        latents = before_fusion
        for number in range(fused[0], len(self.steps)):
            goal = (target, weight) if number in fused else None
            latents = self._step(number, latents, seen, painted, neighbours, goal)
        return latents

    def _step(
        self,
        number: int,
        latents: Tensor,
        seen: Seen,
        painted: _Painted,
        neighbours: _Neighbours | None,
        goal: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Take a step down; what the network sees as the clean latents is first brought closer to other key frames.

        ``goal`` is what the latents are mixed with, and its weight.
        """
        high, low = self.steps[number]
        painted.tokens.step = number
        prediction = self.predict(latents, high.timestep, seen)
        clean, noise = picture_and_noise(latents, prediction, high, self.networks.prediction)
        if neighbours is None:
            painted.predicted.append(clean)
        else:
            first = painted.predicted[number].to(clean)
            if self._share(number) < self.config.warp_until:
                motion = neighbours.first.on_grid(clean.shape[-1])
                visible = torch.from_numpy(motion.visible)[None, None].to(clean)
                clean = mixed(clean, warped_latents(first, motion), visible)
            if goal:
                clean = mixed(clean, *goal)
            if self._share(number) >= self.config.colour_from:
                clean = with_statistics(clean, first)
        return low.signal * clean + low.noise * noise

    def _share(self, number: int) -> float:
        return number / len(self.steps)

    def _fuses(self, number: int) -> bool:
        in_time = self.config.fuse_from <= self._share(number) < self.config.fuse_until
        return in_time and self.config.fuse_weight > 0


def _state(painted: _Painted) -> dict[str, Any]:
    def kept(tokens: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: each.cpu() for key, each in tokens.items()}

    return {
        "pictures": torch.from_numpy(np.stack(painted.pictures)),
        "predicted": [each.cpu() for each in painted.predicted],
        "first": kept(painted.tokens.first),
        "previous": kept(painted.tokens.previous),
    }


def _read(path: Path) -> _Painted:
    state = load_state(path)
    if state is None:
        return _Painted()
    tokens = SeenTokens(first=state["first"], previous=state["previous"])
    return _Painted(list(state["pictures"].numpy()), list(state["predicted"]), tokens)
