"""Volume rendering: densities along rays to weights, colours, opacity and depth (Max 1995; Mildenhall et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from baselines.gpu_packages import nerfacc


@dataclass(frozen=True)
class RayColours:
    """The result for R rays: ``rgb [R, 3]`` without background, ``opacity [R]`` in [0, 1], expected ``depth [R]``."""

    rgb: Tensor
    opacity: Tensor
    depth: Tensor

    def over(self, background: Tensor) -> Tensor:
        """Return the colours in front of a background ``[R, 3]``."""
        return self.rgb + (1.0 - self.opacity)[:, None] * background


def transmittance_weights(density: Tensor, lengths: Tensor) -> Tensor:
    """Return the weight of each interval in the colour of its ray.

    Args:
        density: ``[R, N]`` per unit of length, from near to far, at least 0.
        lengths: ``[R, N]`` lengths of the intervals.

    Returns:
        ``[R, N]``: transmittance up to the interval times its own opacity; rows sum to the ray's opacity.
    """
    if density.is_cuda and (package := nerfacc()) is not None:
        return weights_by_nerfacc(package, density, lengths)
    optical = density * lengths
    before = torch.cumsum(optical, dim=1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


def weights_by_nerfacc(package: ModuleType, density: Tensor, lengths: Tensor) -> Tensor:
    """Compute :func:`transmittance_weights` by nerfacc 0.5 or newer; these versions read the packed layout alike."""
    rays, count = density.shape
    ends = torch.cumsum(lengths, dim=1)
    first = count * torch.arange(rays, device=density.device)
    weights: Tensor = package.render_weight_from_density(
        (ends - lengths).reshape(-1),
        ends.reshape(-1),
        density.reshape(-1),
        packed_info=torch.stack((first, torch.full_like(first, count)), dim=1),
    )[0]
    return weights.reshape(rays, count)


def composite(density: Tensor, lengths: Tensor, colours: Tensor, depths: Tensor, far: Tensor) -> RayColours:
    """Sum up samples ``[R, N]`` with colours ``[R, N, 3]`` at depths ``[R, N]``; the rest of a ray ends at ``far``."""
    weights = transmittance_weights(density, lengths)
    opacity = weights.sum(dim=1)
    depth = (weights * depths).sum(dim=1) + (1.0 - opacity) * far
    return RayColours((weights[..., None] * colours).sum(dim=1), opacity, depth)
