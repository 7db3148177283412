"""A ControlNet of Canny's edges: loading, the edges of frames, and what it adds to the U-Net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.diffusion.networks import Control, Networks, load_part
from emo_bench.errors import UserError
from emo_bench.methods.diffusion_memory import Memory
from emo_bench.system import opencv as cv2


def load_control(folder: Path, networks: Networks, memory: Memory) -> Any:
    """Load a ControlNet from its folder; it computes where the networks do, and together with the U-Net.

    Raises:
        UserError: the folder holds none.
    """
    import diffusers

    try:
        control = load_part(diffusers.ControlNetModel, folder, str(networks.device), memory)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is no ControlNet: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    if networks.turns is not None:
        networks.turns.join(control, networks.unet)
    return control


def edges_of(frame_u8: NDArray[np.uint8], thresholds: tuple[float, float]) -> NDArray[np.uint8]:
    """Return Canny's edges of a frame ``uint8 [S, S, 3]``, white on black, of the same shape."""
    found = cv2.Canny(np.ascontiguousarray(frame_u8), *thresholds)
    return np.repeat(np.asarray(found, dtype=np.uint8)[..., None], 3, axis=2)


def hints_of(frames_u8: NDArray[np.uint8], thresholds: tuple[float, float]) -> Tensor:
    """Return the edges of frames ``uint8 [N, S, S, 3]`` as the ControlNet sees them, uint8 ``[N, 3, S, S]``."""
    edges = np.stack([edges_of(frame, thresholds) for frame in frames_u8])
    return torch.from_numpy(edges).permute(0, 3, 1, 2)


def control_by(network: Any, hints: Tensor, scale: float) -> Control:
    """Return what a ControlNet adds for pictures with these edges.

    Args:
        network: the ``ControlNetModel``.
        hints: uint8 ``[N, 3, S, S]``, as :func:`hints_of` gives them. The U-Net's input has the ``N`` pictures once, or
            several times one after the other.
        scale: weight of what it adds.
    """

    def added(seen: Tensor, timestep: int, text: Tensor) -> tuple[list[Tensor], Tensor]:
        shown = hints.to(seen) / 255
        encoder, middle = network(
            seen,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=shown.repeat(len(seen) // len(shown), 1, 1, 1),
            conditioning_scale=scale,
            return_dict=False,
        )
        return encoder, middle

    return added
