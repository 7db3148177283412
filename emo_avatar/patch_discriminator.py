"""The patch discriminator conditioned on the UV map (paper equation 2)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

GanLoss = Literal["bce", "hinge", "lsgan"]


class PatchDiscriminator(nn.Module):
    """A 70x70 PatchGAN on an image and its condition, with spectral normalisation.

    Args:
        image_channels: channels of the image.
        condition_channels: channels of the condition, here u, v and the mask.
        width: channels of the first layer.
    """

    def __init__(self, image_channels: int = 3, condition_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        widths = (image_channels + condition_channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for i in range(3):
            conv = nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(4 * width, 8 * width, 4, padding=1)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(8 * width, 1, 4, padding=1))]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Score patches of ``image [B, 3, H, W]`` given ``condition [B, 3, H, W]``: logits ``[B, 1, h, w]``."""
        return self.layers(torch.cat((image, condition), dim=1)).float()


def discriminator_loss(real: Tensor, fake: Tensor, kind: GanLoss) -> Tensor:
    """Return equation 2 as the discriminator minimises it, or its hinge or least-squares form."""
    if kind == "bce":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "hinge":
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()
    return ((real - 1.0) ** 2).mean() + (fake**2).mean()


def generator_loss(fake: Tensor, kind: GanLoss) -> Tensor:
    """Return the generator's loss, non-saturating."""
    if kind == "bce":
        return F.softplus(-fake).mean()
    if kind == "hinge":
        return -fake.mean()
    return ((fake - 1.0) ** 2).mean()
