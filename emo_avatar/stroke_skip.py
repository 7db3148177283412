"""A skip connection from the UV map to the picture: strokes that lie on the person, and strokes of the background."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.neural_texture import NeuralTexture, sample_texture

LEVELS = 3
# The surface is seen at a slant where UV changes this much faster from pixel to pixel than at the usual pixel.
SLANTED = 2.5
# Width of the border at silhouettes, where a pixel shows two things, in px.
BORDER_PX = 2


class StrokeSkip(nn.Module):
    """Adds a colour at each place of the surface and of the background; it adds nothing until it is trained.

    The other skip connections see the neural texture, which is smooth where skin and cloth are smooth. They can change
    colours there, but cannot draw a stroke at a place that looks like the places around it. This one can.

    Args:
        size_px: side of the finest level of the texture.
        resolution_px: side of the pictures.
    """

    still: Tensor
    seen: Tensor

    def __init__(self, size_px: int, resolution_px: int) -> None:
        super().__init__()
        self.surface = NeuralTexture(3, size_px, LEVELS)
        self.background = nn.Parameter(torch.zeros(1, 3, resolution_px, resolution_px))
        coarse_px = self.surface.levels[-1].shape[-1]
        self.register_buffer("seen", torch.zeros(1, 1, coarse_px, coarse_px))
        self.register_buffer("still", torch.zeros(1, 1, resolution_px, resolution_px))
        with torch.no_grad():
            self.surface.levels[-1].zero_()

    def forward(self, uv: Tensor, mask: Tensor) -> Tensor:
        """Return the colours to add, ``[B, 3, R, R]``, for ``uv [B, R, R, 2]`` and ``mask [B, 1, R, R]``."""
        on_surface = sample_texture(self.seen, uv) * sample_texture(self.surface.compose(), uv)
        return mask * on_surface + (1.0 - mask) * self.still * self.background

    @torch.no_grad()
    def limit(self, uv: Tensor, mask: Tensor, allowed: Tensor, still: Tensor) -> None:
        """Allow strokes only where the reference shows the place well.

        Args:
            uv, mask: UV map and mask of the reference's frame, ``[R, R, 2]`` and ``[R, R]`` bool.
            allowed: ``[R, R]`` in [0, 1]. A texel gets strokes if the mean over its pixels is above a half.
            still: ``[R, R]``, 1 at the pixels of the background that no frame hides.
        """
        side = self.seen.shape[-1]
        columns, rows = (uv[mask] * side).long().clamp(0, side - 1).unbind(dim=1)
        texels, values = rows * side + columns, allowed[mask]
        total = values.new_zeros(side * side).index_add_(0, texels, values)
        count = values.new_zeros(side * side).index_add_(0, texels, torch.ones_like(values))
        self.seen.copy_((total > 0.5 * count).view_as(self.seen))
        self.still.copy_(still.expand_as(self.still))


def seen_from_the_front(uv: Tensor, mask: Tensor) -> Tensor:
    """Return ``[R, R]`` float: 1 where a frame shows the surface from the front, 0 at slants and silhouettes.

    Args:
        uv, mask: ``[R, R, 2]`` and ``[R, R]`` bool.
    """
    across, down = uv.diff(dim=1).norm(dim=-1), uv.diff(dim=0).norm(dim=-1)
    change = torch.stack((F.pad(across, (0, 1)), F.pad(across, (1, 0)), _rows(down, 0, 1), _rows(down, 1, 0))).amax(0)
    inside = ~grown(~mask, BORDER_PX)
    if not inside.any():
        return torch.zeros_like(change)
    slanted = change > SLANTED * change[inside].median()
    return (inside & ~grown(slanted, 1)).float()


def _rows(values: Tensor, above: int, below: int) -> Tensor:
    return F.pad(values, (0, 0, above, below))


def grown(mask: Tensor, by_px: int) -> Tensor:
    """Grow ``[R, R]`` bool by some pixels on each side."""
    return F.max_pool2d(mask.float()[None, None], 2 * by_px + 1, stride=1, padding=by_px)[0, 0] > 0.5
