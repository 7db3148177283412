"""The orthonormal Haar transform of pictures, one level, as torch functions."""

from __future__ import annotations

import torch
from torch import Tensor


def haar(images: Tensor) -> Tensor:
    """Map ``[B, C, H, W]`` (even sides) to ``[B, 4 C, H / 2, W / 2]``: means, row, column and diagonal details."""
    a, b = images[..., 0::2, 0::2], images[..., 0::2, 1::2]
    c, d = images[..., 1::2, 0::2], images[..., 1::2, 1::2]
    top, bottom, top_step, bottom_step = a + b, c + d, a - b, c - d
    bands = (top + bottom, top - bottom, top_step + bottom_step, top_step - bottom_step)
    return torch.cat(bands, dim=1) * 0.5


def inverse_haar(bands: Tensor) -> Tensor:
    """Invert :func:`haar`: ``[B, 4 C, H, W]`` to ``[B, C, 2 H, 2 W]``."""
    mean, row, column, diagonal = bands.chunk(4, dim=1)
    top, bottom = mean + row, mean - row
    top_step, bottom_step = column + diagonal, column - diagonal
    quarters = torch.stack((top + top_step, top - top_step, bottom + bottom_step, bottom - bottom_step), dim=2)
    return torch.pixel_shuffle(quarters.flatten(1, 2) * 0.5, 2)
