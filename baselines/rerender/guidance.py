"""What the network predicts for a key frame: guided by text, and in one of three ways by the recorded frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.guidance import guided, rescaled
from baselines.diffusion.networks import Control, Networks, load_part
from emo_bench.errors import UserError
from emo_bench.system import opencv as cv2

CONTROLNET, SOURCE, NOISE = "controlnet", "source", "noise"
"""A ControlNet sees Canny's edges; source channels see the frame; or only the noisy start is the frame's."""

Prediction = Callable[[Tensor, int], Tensor]
"""From latents ``[1, c, h, w]`` and a timestep to the guided prediction of the same shape."""


@dataclass(frozen=True)
class Guidance:
    """How an edit is guided.

    Attributes:
        structure: ``controlnet``, ``source`` or ``noise``.
        text, negative: what the frame shall show (or, with ``source``, the instruction), and what it shall not.
        text_scale: weight of the text.
        source_scale: weight of the recorded frame, with ``source`` alone.
        rescale: share to which the deviation of the guided prediction is brought back to the usual one.
        control: the ``ControlNetModel``, with ``controlnet`` alone.
        control_scale: weight of the ControlNet.
        edges: the two thresholds of Canny's edges.
    """

    structure: str
    text: str
    negative: str
    text_scale: float
    source_scale: float
    rescale: float
    control: Any = None
    control_scale: float = 1.0
    edges: tuple[float, float] = (50.0, 100.0)


def frame_prediction(networks: Networks, guidance: Guidance, frame_u8: NDArray[np.uint8]) -> Prediction:
    """Return the guided prediction for one recorded frame ``uint8 [S, S, 3]``."""
    text, negative = networks.embedded(guidance.text), networks.embedded(guidance.negative)
    if guidance.structure == SOURCE:
        return _from_source(networks, guidance, networks.encoded(frame_u8[None], 1), text, negative)
    control = None
    if guidance.structure == CONTROLNET:
        control = _control(guidance.control, edges_of(frame_u8, guidance.edges), guidance.control_scale)
    texts = torch.cat([negative, text])

    def predicted(latents: Tensor, timestep: int) -> Tensor:
        without, wanted = networks.predicted(latents.expand(2, -1, -1, -1), timestep, texts, control=control).chunk(2)
        return guided(without, wanted, guidance.text_scale, guidance.rescale)

    return predicted


def edges_of(frame_u8: NDArray[np.uint8], thresholds: tuple[float, float]) -> NDArray[np.uint8]:
    """Return Canny's edges of a frame ``uint8 [S, S, 3]``, white on black, of the same shape."""
    found = cv2.Canny(np.ascontiguousarray(frame_u8), *thresholds)
    return np.repeat(np.asarray(found, dtype=np.uint8)[..., None], 3, axis=2)


def load_control(folder: Path, device: str) -> Any:
    """Load a ControlNet from its folder.

    Raises:
        UserError: the folder holds none.
    """
    import diffusers

    try:
        return load_part(diffusers.ControlNetModel, folder, device)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is no ControlNet: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error


def _from_source(networks: Networks, guidance: Guidance, source: Tensor, text: Tensor, negative: Tensor) -> Prediction:
    """Return InstructPix2Pix's prediction with its two guidances (Brooks et al. 2023, equation 3)."""
    texts, sources = torch.cat([negative, negative, text]), torch.cat([torch.zeros_like(source), source, source])

    def predicted(latents: Tensor, timestep: int) -> Tensor:
        nothing, frame, both = networks.predicted(latents.expand(3, -1, -1, -1), timestep, texts, sources).chunk(3)
        found = nothing + guidance.source_scale * (frame - nothing) + guidance.text_scale * (both - frame)
        return rescaled(found, both, guidance.rescale)

    return predicted


def _control(network: Any, edges_u8: NDArray[np.uint8], scale: float) -> Control:
    hint = torch.from_numpy(edges_u8).permute(2, 0, 1)[None].to(network.device, network.dtype) / 255

    def added(seen: Tensor, timestep: int, text: Tensor) -> tuple[list[Tensor], Tensor]:
        encoder, middle = network(
            seen,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=hint.expand(len(seen), -1, -1, -1),
            conditioning_scale=scale,
            return_dict=False,
        )
        return encoder, middle

    return added
