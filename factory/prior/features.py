"""A second discriminator: small heads on frozen perceptual features (Projected GANs, Sauer et al. 2021).

Its features already describe edges and parts, so it gives a useful gradient from the first step on. Training needs far
fewer images than with a discriminator that starts without such features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from emo_bench.perceptual import PerceptualDistance
from emo_bench.perceptual.trunk import ALEX_CHANNELS

BACKEND = "stlpips-alex"
INPUT_PX = 128
"""Smaller images are enlarged to this: the trunk's first stage already halves twice."""

FIRST_STAGE = 1
"""The first stage's maps are large and say little: they would cost more than all others together."""

MIXED_CHANNELS = 96
HEAD_CHANNELS = 64


class FeatureDiscriminator(nn.Module):
    """Compute logits ``[B, stages]``, one per feature stage, from images ``[B, 3, R, R]`` in about [-1, 1].

    The features of every stage are mixed by a fixed random matrix (section 3.2's channel mixing: a head cannot depend
    on only a few channels) and classified by a small head with spectral normalisation. Trunk and mixing are frozen and
    not saved.
    """

    def __init__(self, trunk: PerceptualDistance, seed: int = 0) -> None:
        super().__init__()
        self._trunk = (trunk,)
        rng = torch.Generator().manual_seed(seed)
        self.heads = nn.ModuleList()
        for number, channels in enumerate(ALEX_CHANNELS[FIRST_STAGE:]):
            mixing = torch.randn(MIXED_CHANNELS, channels, 1, 1, generator=rng)
            self.register_buffer(f"mixing{number}", mixing, persistent=False)
            self.heads.append(_head())

    @classmethod
    def from_assets(cls, device: str, seed: int = 0) -> "FeatureDiscriminator":
        """Construct it with the trunk found on this machine; a UserError names the missing asset and the remedy."""
        return cls(PerceptualDistance.from_assets(BACKEND, device), seed).to(device)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] < INPUT_PX:
            images = F.interpolate(images, size=(INPUT_PX, INPUT_PX), mode="bilinear", align_corners=False)
        logits = []
        for number, features in enumerate(self._trunk[0].features(images)[FIRST_STAGE:]):
            mixed = F.conv2d(features, getattr(self, f"mixing{number}"))
            logits.append(self.heads[number](mixed).mean(dim=(1, 2, 3)))
        return torch.stack(logits, dim=1).float()


def _head() -> nn.Sequential:
    """Create a head: two convolutions and a linear map at every position."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(MIXED_CHANNELS, HEAD_CHANNELS, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(HEAD_CHANNELS, HEAD_CHANNELS, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(HEAD_CHANNELS, 1, 1)),
    )
