"""Augmented training views of styled pictures: zoomed, shifted, mirrored, and slightly brighter or darker."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ZOOM = (0.6, 1.45)
CLOSE_UP = (0.35, 0.7)
CLOSE_UP_SHARE = 0.15
PHOTO_ZOOM = (0.8, 1.2)
FACE_ZOOM = (0.6, 1.05)
SHIFT = 0.12
TILT_DEG = 8.0


def views(images: Tensor, photos: Tensor, size_px: int, rng: torch.Generator, faces: bool = False) -> Tensor:
    """Return views ``[B, 3, size, size]`` in [0, 1] of ``images`` uint8 ``[B, S, S, 3]``.

    Styles are shown at many scales, from close-up to far away, because editing shows CLIP patches and metrics show it
    whole frames. Photos (``photos`` bool ``[B]``) have captions about hair and mouth, so they stay near their
    alignment, or, with ``faces``, are also shown as close-ups that keep the mouth in view. Half of the views are
    sampled without a low-pass filter, as `emo_bench.clip.model` resizes frames.
    """
    count, side = len(images), images.shape[1]
    x = images.permute(0, 3, 1, 2).float().div_(255.0).contiguous(memory_format=torch.channels_last)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    zoom = torch.exp(uniform(math.log(ZOOM[0]), math.log(ZOOM[1])))
    close = uniform(0, 1) < CLOSE_UP_SHARE
    zoom = torch.where(close, uniform(*CLOSE_UP), zoom)
    zoom = torch.where(photos, uniform(*(FACE_ZOOM if faces else PHOTO_ZOOM)), zoom)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    angle = uniform(-TILT_DEG, TILT_DEG) * math.pi / 180
    reach = SHIFT + torch.clamp(1.0 - zoom, min=0.0)
    reach = torch.where(photos & faces, SHIFT, reach)
    dx, dy = uniform(-1, 1) * reach, uniform(-1, 1) * reach
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    maps = torch.stack(
        [torch.stack([cos * mirror, -sin, dx], dim=1), torch.stack([sin * mirror, cos, dy], dim=1)], dim=1
    )
    soft = uniform(0, 1) < 0.5
    if side > size_px:
        smooth = F.avg_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
        x = torch.where(soft[:, None, None, None], smooth, x)
    grid = F.affine_grid(maps, [count, 3, size_px, size_px], align_corners=False)
    seen = F.grid_sample(x, grid, "bilinear", padding_mode="reflection", align_corners=False)
    gain, lift = uniform(0.88, 1.12)[:, None, None, None], uniform(-0.06, 0.06)[:, None, None, None]
    return (gain * (seen - 0.5) + 0.5 + lift).clamp(0.0, 1.0)
