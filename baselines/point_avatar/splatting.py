"""Differentiable splatting of points: discs, the nearest ten per pixel, composited front to back.

This follows PyTorch3D's point rasteriser and alpha compositor (Wiles et al. 2020; Zheng et al. 2023, section 3.4). A
point covers the pixels whose centre is within its radius, with opacity ``1 - d^2 / r^2``. The choice of the points of a
pixel has no gradient; opacity and colour give gradients to places and colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fragments:
    """The pairs of pixel and point to draw, sorted by pixel and, within a pixel, from near to far.

    Attributes:
        pixel: ``[M]`` int64, row times width plus column.
        point: ``[M]`` int64.
        rank: ``[M]`` int64, 0 for the nearest point of its pixel.
        size_px: side of the picture.
    """

    pixel: Tensor
    point: Tensor
    rank: Tensor
    size_px: int


@dataclass(frozen=True)
class Splatted:
    """A picture of N points.

    Attributes:
        features: ``[S, S, C]``.
        opacity: ``[S, S]``.
        seen: ``[N]`` greatest weight of each point.
        front: ``[N]`` bool, whether the point is the nearest of a pixel.
    """

    features: Tensor
    opacity: Tensor
    seen: Tensor
    front: Tensor


@torch.no_grad()
def rasterise(pixels: Tensor, depth: Tensor, radius_px: float, size_px: int, points_a_pixel: int) -> Fragments:
    """Find the nearest points of each pixel.

    Args:
        pixels: ``[N, 2]`` places in the picture; the centre of the top-left pixel is (0.5, 0.5).
        depth: ``[N]``; points at or behind the camera (not positive) are left out.
        radius_px: the radius of all points.
        size_px: side of the picture.
        points_a_pixel: greatest number of points per pixel.
    """
    order = torch.argsort(depth, stable=True)
    order = order[depth[order] > 0]
    reach = int(radius_px + 0.5) + 1
    steps = torch.arange(-reach, reach + 1, device=pixels.device)
    shift_y, shift_x = torch.meshgrid(steps, steps, indexing="ij")
    base = torch.floor(pixels[order].clamp(-1e6, 1e6)).long()
    column = base[:, :1] + shift_x.reshape(1, -1)
    row = base[:, 1:] + shift_y.reshape(1, -1)
    distance_sq = (column + 0.5 - pixels[order, :1]) ** 2 + (row + 0.5 - pixels[order, 1:]) ** 2
    inside = (distance_sq < radius_px**2) & (column >= 0) & (row >= 0) & (column < size_px) & (row < size_px)
    which, offset = inside.nonzero(as_tuple=True)
    pixel = row[which, offset] * size_px + column[which, offset]
    # Pairs are in order of depth; a stable sort by pixel keeps that order within each pixel.
    pixel, by_pixel = torch.sort(pixel, stable=True)
    first = torch.searchsorted(pixel, pixel)
    rank = torch.arange(len(pixel), device=pixel.device) - first
    kept = rank < points_a_pixel
    return Fragments(pixel[kept], order[which[by_pixel]][kept], rank[kept], size_px)


def composite(
    fragments: Fragments, pixels: Tensor, radius_px: float, features: Tensor, points_a_pixel: int
) -> Splatted:
    """Composite features front to back.

    Args:
        fragments: from :func:`rasterise` of the same places and radius.
        pixels: ``[N, 2]``, with gradient.
        radius_px: the radius of all points.
        features: ``[N, C]``, with gradient.
        points_a_pixel: as in :func:`rasterise`.
    """
    size = fragments.size_px
    column, row = fragments.pixel % size, fragments.pixel // size
    center = torch.stack((column, row), dim=1).to(pixels.dtype) + 0.5
    alpha = (1.0 - ((pixels[fragments.point] - center) ** 2).sum(dim=1) / radius_px**2).clamp(0.0, 0.999)
    slot = fragments.pixel * points_a_pixel + fragments.rank
    table = alpha.new_zeros(size * size * points_a_pixel).index_put((slot,), alpha)
    passed = torch.cumprod(1.0 - table.reshape(-1, points_a_pixel), dim=1)
    before = torch.cat((torch.ones_like(passed[:, :1]), passed[:, :-1]), dim=1)
    weight = alpha * before.reshape(-1)[slot]
    picture = features.new_zeros(size * size, features.shape[1]).index_add(
        0, fragments.pixel, weight[:, None] * features[fragments.point]
    )
    seen = weight.new_zeros(len(pixels)).scatter_reduce(0, fragments.point, weight.detach(), "amax")
    front = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    front[fragments.point[fragments.rank == 0]] = True
    return Splatted(picture.reshape(size, size, -1), (1.0 - passed[:, -1]).reshape(size, size), seen, front)
