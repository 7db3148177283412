"""Gaussian splatting in float64 as its papers define it: every Gaussian at every pixel, gradients by autograd."""

from __future__ import annotations

import torch
from torch import Tensor


def rotations(quaternion: Tensor) -> Tensor:
    """``[N, 4]`` w, x, y, z to ``[N, 3, 3]``, by the definition v -> q v q*."""
    length = quaternion.norm(dim=1, keepdim=True)
    unit = quaternion / torch.where(length > 0, length, torch.ones_like(length))
    w, v = unit[:, 0], unit[:, 1:]
    zero = torch.zeros_like(w)
    cross = torch.stack(
        (
            torch.stack((zero, -v[:, 2], v[:, 1]), dim=1),
            torch.stack((v[:, 2], zero, -v[:, 0]), dim=1),
            torch.stack((-v[:, 1], v[:, 0], zero), dim=1),
        ),
        dim=1,
    )
    return torch.eye(3, dtype=w.dtype) + 2.0 * w[:, None, None] * cross + 2.0 * cross @ cross


def ellipses(
    mean: Tensor, scale: Tensor, rotation: Tensor, focal: float, center: tuple[float, float], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Places ``[N, 2]`` and covariances ``[N, 2, 2]`` in pixels."""
    axes = rotations(rotation) * scale[:, None, :]
    x, y, z = mean.unbind(dim=1)
    low = [(-0.15 * side - middle) / focal for side, middle in zip(size, center, strict=True)]
    high = [(1.15 * side - middle) / focal for side, middle in zip(size, center, strict=True)]
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        (
            torch.stack((focal / z, zero, -focal / z * (x / z).clamp(low[0], high[0])), dim=1),
            torch.stack((zero, focal / z, -focal / z * (y / z).clamp(low[1], high[1])), dim=1),
        ),
        dim=1,
    )
    spread = jacobian @ (axes @ axes.transpose(1, 2)) @ jacobian.transpose(1, 2)
    return torch.stack((focal * x / z + center[0], focal * y / z + center[1]), dim=1), spread


def reference(
    mean: Tensor,
    scale: Tensor,
    rotation: Tensor,
    opacity: Tensor,
    colour: Tensor,
    *,
    focal: float,
    center: tuple[float, float],
    size: tuple[int, int],
    blur: float = 0.3,
    antialiased: bool = False,
    nearest: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Colour ``[H, W, 3]`` and opacity ``[H, W]``; ``size`` is width, height."""
    order = torch.argsort(mean[:, 2], stable=True)
    order = order[mean[order, 2] > nearest]
    mean, scale, rotation, opacity, colour = (x[order] for x in (mean, scale, rotation, opacity, colour))
    place, spread = ellipses(mean, scale, rotation, focal, center, size)
    wide = spread + blur * torch.eye(2, dtype=mean.dtype)
    if antialiased:
        share = torch.linalg.det(spread) / torch.linalg.det(wide)
        opacity = opacity * torch.where(share > 1e-10, share.clamp(min=1e-10), torch.zeros_like(share)).sqrt()
    column, row = (torch.arange(side, dtype=mean.dtype) + 0.5 for side in size)
    pixels = torch.stack(torch.meshgrid(column, row, indexing="xy"), dim=-1).reshape(-1, 1, 2)
    x, y = (pixels - place).unbind(dim=2)
    inverse = torch.linalg.inv(wide)
    form = inverse[:, 0, 0] * x * x + 2.0 * inverse[:, 0, 1] * x * y + inverse[:, 1, 1] * y * y
    alpha = opacity * torch.exp(-0.5 * form)
    alpha = torch.where(alpha >= 1 / 255, alpha.clamp(max=0.999), torch.zeros_like(alpha))
    # A pixel ends before the Gaussian that would leave less light than a ten-thousandth.
    drawn = torch.cumprod(1.0 - alpha.detach(), dim=1) > 1e-4
    alpha = torch.where(drawn, alpha, torch.zeros_like(alpha))
    passed = torch.cumprod(1.0 - alpha, dim=1)
    before = torch.cat((torch.ones_like(passed[:, :1]), passed[:, :-1]), dim=1)
    picture = (alpha * before) @ colour
    last = passed[:, -1] if len(order) else torch.ones(len(pixels), dtype=mean.dtype)
    return picture.reshape(size[1], size[0], 3), (1.0 - last).reshape(size[1], size[0])
