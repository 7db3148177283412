"""Volume rendering: densities along rays to weights, colours, opacity and depth (Max 1995; Mildenhall et al. 2020)."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RayColours:
    """Of R rays: ``rgb [R, 3]`` not yet in front of anything, ``opacity [R]`` in [0, 1], ``depth [R]`` expected."""

    rgb: Tensor
    opacity: Tensor
    depth: Tensor

    def over(self, background: Tensor) -> Tensor:
        """In front of a background ``[R, 3]``."""
        return self.rgb + (1.0 - self.opacity)[:, None] * background


def transmittance_weights(density: Tensor, lengths: Tensor) -> Tensor:
    """How much of what is seen lies in each interval.

    Args:
        density: ``[R, N]`` a unit of length, from near to far, at least 0.
        lengths: ``[R, N]`` of the intervals.

    Returns:
        ``[R, N]``: transmittance up to the interval times its own opacity; rows sum to the ray's opacity.
    """
    if density.is_cuda and importlib.util.find_spec("nerfacc") is not None:
        import nerfacc

        ends = torch.cumsum(lengths, dim=1)
        weights: Tensor = nerfacc.render_weight_from_density(ends - lengths, ends, density)[0]
        return weights
    optical = density * lengths
    before = torch.cumsum(optical, dim=1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def composite(density: Tensor, lengths: Tensor, colours: Tensor, depths: Tensor, far: Tensor) -> RayColours:
    """Add up samples ``[R, N]`` with colours ``[R, N, 3]`` at depths ``[R, N]``; what passes all of them ends at ``far``."""
    weights = transmittance_weights(density, lengths)
    opacity = weights.sum(dim=1)
    depth = (weights * depths).sum(dim=1) + (1.0 - opacity) * far
    return RayColours((weights[..., None] * colours).sum(dim=1), opacity, depth)
