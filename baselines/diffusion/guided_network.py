"""The prediction for an edit: guided by text, and in one of three ways by the recorded pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.controlnet import control_by, hints_of, load_control
from baselines.diffusion.guidance import guided, rescaled
from baselines.diffusion.networks import Networks
from baselines.diffusion.structure import CONTROLNET, SOURCE, Kind, Structure
from emo_bench.methods.diffusion_memory import Memory
from emo_bench.methods.interface import EditStyle


@dataclass(frozen=True)
class Guidance:
    """How an edit is guided.

    Attributes:
        structure: what keeps the structure.
        text, negative: what the frame shall show (or, with ``source``, the instruction), and what it shall not.
        text_scale: weight of the text.
        source_scale: weight of the recorded frame, with ``source`` alone.
        rescale: share to which the deviation of the guided prediction is brought back to the usual one.
        control: the ``ControlNetModel``, with ``controlnet`` alone.
        control_scale: weight of the ControlNet.
        edges: the two thresholds of Canny's edges.
    """

    structure: Kind
    text: str
    negative: str
    text_scale: float
    source_scale: float
    rescale: float
    control: Any = None
    control_scale: float = 1.0
    edges: tuple[float, float] = (50.0, 100.0)


class GuidanceSettings(Protocol):
    """The settings of an editor that its guidance needs besides those of the structure."""

    @property
    def negative_text(self) -> str:
        """What the frames shall not show."""

    @property
    def guidance_rescale(self) -> float:
        """Share to which the deviation of the guided prediction is brought back to the usual one."""

    @property
    def control_scale(self) -> float:
        """Weight of the ControlNet."""

    @property
    def edges_low(self) -> float:
        """Lower threshold of Canny's edges."""

    @property
    def edges_high(self) -> float:
        """Higher threshold of Canny's edges."""


def open_guidance(
    structure: Structure, settings: GuidanceSettings, style: EditStyle, networks: Networks, memory: Memory
) -> Guidance:
    """Return how a style guides the edit; a ControlNet is loaded.

    Raises:
        UserError: the ControlNet's folder holds none.
    """
    return Guidance(
        structure.kind,
        structure.text_of(style),
        settings.negative_text,
        structure.text_scale,
        structure.source_scale,
        settings.guidance_rescale,
        None if structure.control is None else load_control(structure.control, networks, memory),
        settings.control_scale,
        (settings.edges_low, settings.edges_high),
    )


@dataclass(frozen=True)
class Seen:
    """What the networks see of ``N`` recorded pictures besides the noisy latents.

    Attributes:
        sources: their latents ``[N, c, h, w]``, for source channels.
        hints: their edges, uint8 ``[N, 3, S, S]``, for a ControlNet.
    """

    sources: Tensor | None = None
    hints: Tensor | None = None

    def rearranged(self, arrange: Callable[[Tensor], Tensor]) -> Seen:
        """Return what is seen of pictures that are put together in another way."""
        sources, hints = (None if each is None else arrange(each) for each in (self.sources, self.hints))
        return Seen(sources, hints)


NOTHING = Seen()


def seen_of(guidance: Guidance, frames_u8: NDArray[np.uint8], latents: Tensor) -> Seen:
    """Return what the networks see of frames ``uint8 [N, S, S, 3]`` with these latents ``[N, c, h, w]``."""
    if guidance.structure == SOURCE:
        return Seen(sources=latents)
    if guidance.structure == CONTROLNET:
        return Seen(hints=hints_of(frames_u8, guidance.edges))
    return NOTHING


class GuidedNetwork:
    """The U-Net with the guidance of an edit."""

    def __init__(self, networks: Networks, guidance: Guidance) -> None:
        self.networks, self.guidance = networks, guidance
        self._negative, self._text = (networks.embedded(text) for text in (guidance.negative, guidance.text))

    def __call__(self, latents: Tensor, timestep: int, seen: Seen = NOTHING) -> Tensor:
        """Return the guided prediction for latents ``[N, c, h, w]``, of the same shape."""
        guidance, count = self.guidance, len(latents)
        if guidance.structure == SOURCE:
            # InstructPix2Pix's two guidances (Brooks et al. 2023, equation 3).
            assert seen.sources is not None
            texts = torch.cat([self._negative, self._negative, self._text]).repeat_interleave(count, 0)
            sources = torch.cat([torch.zeros_like(seen.sources), seen.sources, seen.sources])
            found = self.networks.predicted(latents.repeat(3, 1, 1, 1), timestep, texts, sources)
            nothing, frame, both = found.chunk(3)
            found = nothing + guidance.source_scale * (frame - nothing) + guidance.text_scale * (both - frame)
            return rescaled(found, both, guidance.rescale)
        control = None
        if seen.hints is not None:
            control = control_by(guidance.control, seen.hints, guidance.control_scale)
        texts = torch.cat([self._negative, self._text]).repeat_interleave(count, 0)
        found = self.networks.predicted(latents.repeat(2, 1, 1, 1), timestep, texts, control=control)
        without, wanted = found.chunk(2)
        return guided(without, wanted, guidance.text_scale, guidance.rescale)
