"""What keeps the latents of a key frame close to those of other key frames: warping, AdaIN, the encoding of pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from baselines.diffusion.networks import Networks
from baselines.rerender.flow import Motion

# In the encoding, a pixel whose repaired colour is wrong by more than this share of the range keeps the plain encoding.
REPAIR_TOLERANCE = 0.1
LEAST_DEVIATION = 1e-5


def warped_latents(latents: Tensor, motion: Motion) -> Tensor:
    """Bring latents ``[1, c, h, w]`` of another frame to this one; ``motion`` is on the grid of the latents."""
    moved = motion.warped(latents[0].permute(1, 2, 0).cpu().numpy())
    return torch.from_numpy(np.ascontiguousarray(moved.transpose(2, 0, 1)))[None].to(latents)


def mixed(base: Tensor, other: Tensor, weight: Tensor | float) -> Tensor:
    """Return ``base`` where ``weight`` is 0, ``other`` where it is 1, and a mixture between."""
    return base + weight * (other - base)


def with_statistics(latents: Tensor, target: Tensor) -> Tensor:
    """Give latents ``[B, c, h, w]`` the mean and the deviation of each channel of ``target`` (AdaIN)."""
    mean, deviation = _statistics(latents)
    wanted_mean, wanted_deviation = _statistics(target)
    return (latents - mean) / deviation.clamp_min(LEAST_DEVIATION) * wanted_deviation + wanted_mean


def faithful_latents(networks: Networks, pixels: Tensor) -> Tensor:
    """Encode pixels ``[1, 3, S, S]`` in [-1, 1] such that their decoding is closer to them than a plain encoding's.

    What the autoencoder loses in a second passage is about what it lost in the first one. It is added to the latents,
    except near pixels that this would make wrong by more than :data:`REPAIR_TOLERANCE`.
    """
    once = networks.encoded_pixels(pixels)
    twice = networks.encoded_pixels(networks.decoded_pixels(once))
    repaired = once + (once - twice)
    error = (networks.decoded_pixels(repaired) - pixels).abs().amax(1, keepdim=True) / 2
    wrong = torch.nn.functional.adaptive_max_pool2d((error > REPAIR_TOLERANCE).float(), once.shape[2:])
    return mixed(repaired, once, wrong)


def _statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    return latents.mean((2, 3), keepdim=True), latents.std((2, 3), keepdim=True)
