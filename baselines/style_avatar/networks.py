"""The StyleUNet and the generator of a neural texture, from the layers of StyleGAN2."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.style_avatar.config import BOTTOM_PX
from baselines.style_avatar.wavelet import haar, inverse_haar
from emo_avatar.stylegan2.fir import upsample
from emo_avatar.stylegan2.layers import Conv, FullyConnected, ModulatedConv, SynthesisLayer, ToRgb

BANDS = 12
MAPPING_LR_MULTIPLIER = 0.01
# Periods of the time code run from its whole span down to this share of it.
SHORTEST_PERIOD_SHARE = 0.01


def time_code(index: Tensor, span_frames: int, width: int) -> Tensor:
    """Sines and cosines ``[B, width]`` of frame numbers ``[B]``; periods from the span to a hundredth of it."""
    count = width // 2
    steps = torch.linspace(0.0, 1.0, count, device=index.device)
    cycles = index.float()[:, None] / span_frames * (1.0 / SHORTEST_PERIOD_SHARE) ** steps
    angle = 2.0 * math.pi * cycles
    return torch.cat((torch.sin(angle), torch.cos(angle)), dim=1)


class Mapping(nn.Module):
    """A code to a style, both ``[B, width]``: normalised, then fully connected layers with leaky ReLU."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(FullyConnected(width, width, activate=True, lr_multiplier=MAPPING_LR_MULTIPLIER) for _ in range(layers))
        )

    def forward(self, code: Tensor) -> Tensor:
        """Code to style."""
        with torch.autocast(code.device.type, enabled=False):
            code = code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + 1e-8)
            return self.layers(code)


def _sizes(first: int, last: int) -> list[int]:
    return [first << k for k in range((last // first).bit_length())]


class StyleUNet(nn.Module):
    """A StyleGAN2 decoder without a learned constant, grown on an encoder of its input.

    At each size up to the input's, the encoder's features are joined to the decoder's and combined by a 3x3
    convolution. Pictures are sums over the sizes, kept as Haar wavelets.

    Args:
        channels_in: of the input.
        input_px, top_px: side of input and output.
        channels: of a size in px.
        style_dim: of the style.
        pictures: give wavelets of a picture too.
    """

    def __init__(
        self,
        channels_in: int,
        input_px: int,
        top_px: int,
        channels: Callable[[int], int],
        style_dim: int,
        *,
        pictures: bool,
    ) -> None:
        super().__init__()
        self.input_px, self.sizes = input_px, _sizes(BOTTOM_PX, top_px)
        self.enter = Conv(channels_in, channels(input_px), 1)
        down = list(reversed(_sizes(BOTTOM_PX, input_px)))
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Conv(channels(size), channels(size), 3), Conv(channels(size), channels(size // 2), 3, resample="down")
            )
            for size in down[:-1]
        )
        self.bottom = Conv(channels(BOTTOM_PX), channels(BOTTOM_PX), 3)
        self.grow, self.combine, self.refine, self.to_bands = (nn.ModuleDict() for _ in range(4))
        for size in self.sizes:
            width, key = channels(size), str(size)
            if size > BOTTOM_PX:
                self.grow[key] = SynthesisLayer(
                    channels(size // 2), width, style_dim, size, upsample=True, use_noise=False
                )
                if size <= input_px:
                    self.combine[key] = Conv(2 * width, width, 3)
            self.refine[key] = SynthesisLayer(width, width, style_dim, size, use_noise=False)
            if pictures:
                self.to_bands[key] = ToRgb(width, BANDS, style_dim)
        # Styles start out the same for all frames: trained from scratch, a random one a frame is learned away slowly.
        for layer in self.modules():
            if isinstance(layer, ModulatedConv):
                nn.init.zeros_(layer.affine.weight)

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map input ``[B, C, input, input]`` and style ``[B, D]`` to features at the top size and ``[B, 12, ...]``."""
        x = self.enter(x)
        skips = {self.input_px: x}
        for level in self.encoder:
            x = level(x)
            skips[x.shape[-1]] = x
        x = self.bottom(x)
        bands: Tensor | None = None
        for size in self.sizes:
            key = str(size)
            if size > BOTTOM_PX:
                x = self.grow[key](x, style)
                if size in skips:
                    x = self.combine[key](torch.cat((x, skips[size]), dim=1))
            x = self.refine[key](x, style)
            if key in self.to_bands:
                added = self.to_bands[key](x, style)
                bands = added if bands is None else added + haar(upsample(inverse_haar(bands)))
        return x, bands


class FeatureGenerator(nn.Module):
    """A neural texture as the output of a StyleGAN trunk with batch normalisation, from one learned code.

    Args:
        size_px: side of the texture.
        channels: of it and of all layers.
        style_dim, mapping_layers: of the code's mapping.
    """

    def __init__(self, size_px: int, channels: int, style_dim: int, mapping_layers: int) -> None:
        super().__init__()
        self.code = nn.Parameter(torch.randn(1, style_dim))
        self.mapping = Mapping(style_dim, mapping_layers)
        self.constant = nn.Parameter(torch.randn(1, channels, 4, 4))
        layers = [SynthesisLayer(channels, channels, style_dim, 4, use_noise=False)]
        for size in _sizes(4, size_px)[1:]:
            layers.append(SynthesisLayer(channels, channels, style_dim, size, upsample=True, use_noise=False))
            layers.append(SynthesisLayer(channels, channels, style_dim, size, use_noise=False))
        self.layers = nn.ModuleList(layers)
        # Its input is one sample, the same when rendering: it needs no running statistics.
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, track_running_stats=False) for _ in layers)
        self.exit = Conv(channels, channels, 1, activate=False)

    def forward(self) -> Tensor:
        """The texture ``[1, channels, size, size]``."""
        style = self.mapping(self.code)
        x = self.constant
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x, style))
        return self.exit(x)


def sampled(texture: Tensor, grid: Tensor, mode: str) -> Tensor:
    """A texture ``[1, C, T, T]`` at places ``[B, H, W, 2]`` in [-1, 1]: ``[B, C, H, W]`` float32."""
    many = texture.float().expand(len(grid), -1, -1, -1)
    return F.grid_sample(many, grid, mode=mode, padding_mode="border", align_corners=False)
