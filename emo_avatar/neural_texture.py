"""The neural texture: feature channels, each a Laplacian pyramid, sampled through UV (paper 3.2.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NeuralTexture(nn.Module):
    """A learned texture whose levels are summed.

    Level 0 is the finest. Fine levels start at zero and the coarsest level near zero, so that detail is learned only
    where the frames have it.

    Args:
        channels: feature channels; the first three are supervised as RGB (equation 1).
        size_px: side of the finest level.
        levels: number of levels, each half the size of the one before.
    """

    def __init__(self, channels: int, size_px: int, levels: int) -> None:
        super().__init__()
        self.size_px = size_px
        sizes = [max(size_px >> level, 1) for level in range(levels)]
        self.levels = nn.ParameterList(nn.Parameter(torch.zeros(1, channels, size, size)) for size in sizes)
        with torch.no_grad():
            self.levels[-1].normal_(0.0, 0.01)

    def compose(self) -> Tensor:
        """Sum the upsampled levels: ``[1, C, S, S]``."""
        total = self.levels[-1]
        for level in reversed(range(len(self.levels) - 1)):
            finer = self.levels[level]
            total = finer + F.interpolate(total, size=finer.shape[-2:], mode="bilinear", align_corners=False)
        return total


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Sample a texture bilinearly.

    Args:
        texture: ``[1 or B, C, S, S]``.
        uv: ``[B, H, W, 2]`` in [0, 1]; u runs along columns, v along rows, both from texel edge to texel edge.

    Returns:
        ``[B, C, H, W]``.
    """
    grid = uv * 2.0 - 1.0
    texture = texture.expand(len(uv), -1, -1, -1)
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)
