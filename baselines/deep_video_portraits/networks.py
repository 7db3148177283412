"""The rendering-to-video translation network and its discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DROPOUT_LEVELS = 3


def level_widths(width: int, max_width: int, levels: int) -> tuple[int, ...]:
    """Return the channels after each halving: ``width`` doubled up to ``max_width``."""
    return tuple(min(width * 2**k, max_width) for k in range(levels))


class _Up(nn.Module):
    """A 4x4 deconvolution that doubles the size, the skip connection, then two 3x3 refinement convolutions.

    Args:
        channels: input channels.
        skip: channels of the encoder's features at the doubled size, 0 for none.
        width: output channels.
        dropout: share of dropped activations.
    """

    def __init__(self, channels: int, skip: int, width: int, dropout: float) -> None:
        super().__init__()
        drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout > 0 else []
        self.up = nn.Sequential(
            nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            *drop,
            nn.ReLU(inplace=True),
        )
        self.refine = nn.Sequential(*_refinement(width + skip, width), *_refinement(width, width))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Convert ``[B, channels, H, W]`` and ``[B, skip, 2H, 2W]`` to ``[B, width, 2H, 2W]``."""
        return self.refine(torch.cat((self.up(x), skip), dim=1))


def _refinement(channels: int, width: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


class TranslationNetwork(nn.Module):
    """The U-Net from a conditioning volume to a picture.

    Args:
        channels: channels of the volume.
        widths: channels after each halving; their number is the number of levels.
        last_width: channels at full resolution.
        dropout: share of dropped activations in the deepest levels of the decoder.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], last_width: int, dropout: float) -> None:
        super().__init__()
        encoder = []
        for before, after in zip((channels, *widths[:-1]), widths, strict=True):
            conv = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
            encoder.append(nn.Sequential(conv, nn.BatchNorm2d(after), nn.LeakyReLU(0.2, inplace=True)))
        self.encoder = nn.ModuleList(encoder)
        skips = widths[-2::-1]
        self.decoder = nn.ModuleList(
            _Up(before, skip, skip, dropout if level < DROPOUT_LEVELS else 0.0)
            for level, (before, skip) in enumerate(zip(widths[:0:-1], skips, strict=True))
        )
        self.last = nn.Sequential(
            nn.ConvTranspose2d(widths[0], last_width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(last_width),
            nn.ReLU(inplace=True),
            *_refinement(last_width, last_width),
            nn.Conv2d(last_width, 3, 3, padding=1),
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Convert ``[B, channels, S, S]`` in [-1, 1] to pictures ``[B, 3, S, S]`` float32 in [-1, 1]."""
        features = []
        x = volume
        for level in self.encoder:
            x = level(x)
            features.append(x)
        for level, skip in zip(self.decoder, features[-2::-1], strict=True):
            x = level(x, skip)
        return torch.tanh(self.last(x).float())


class PatchCritic(nn.Module):
    """The 70x70 PatchGAN of pix2pix with batch normalisation, on a picture and its condition.

    Args:
        channels: channels of picture and condition together.
        width: channels of its first layer.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for factor, stride in ((2, 2), (4, 2), (8, 1)):
            before = width * factor // 2
            conv = nn.Conv2d(before, width * factor, 4, stride=stride, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width * factor), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """Return logits ``[B, 1, h, w]`` float32 of ``image [B, 3, S, S]`` given ``condition [B, C, S, S]``."""
        return self.layers(torch.cat((image, condition), dim=1)).float()
