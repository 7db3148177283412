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
# The periods of the time code go from its whole span down to this share of it.
SHORTEST_PERIOD_SHARE = 0.01


def time_code(index: Tensor, span_frames: int, width: int) -> Tensor:
    """Return sines and cosines ``[B, width]`` of frame numbers ``[B]``; periods: from the span to a hundredth."""
    count = width // 2
    steps = torch.linspace(0.0, 1.0, count, device=index.device)
    cycles = index.float()[:, None] / span_frames * (1.0 / SHORTEST_PERIOD_SHARE) ** steps
    angle = 2.0 * math.pi * cycles
    return torch.cat((torch.sin(angle), torch.cos(angle)), dim=1)


class Mapping(nn.Module):
    """The mapping from code to style, both ``[B, width]``: normalise, then fully connected layers with leaky ReLU."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(FullyConnected(width, width, activate=True, lr_multiplier=MAPPING_LR_MULTIPLIER) for _ in range(layers))
        )

    def forward(self, code: Tensor) -> Tensor:
        """Convert a code to a style."""
        with torch.autocast(code.device.type, enabled=False):
            code = code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + 1e-8)
            return self.layers(code)


def _sizes(first: int, last: int) -> list[int]:
    return [first << k for k in range((last // first).bit_length())]


class StyleUNet(nn.Module):
    """A StyleGAN2 decoder without a learned constant, with an encoder of its input.

    At each size up to the input's, the encoder's features are concatenated with the decoder's and combined by a 3x3
    convolution. Pictures are sums over the sizes, in the form of Haar wavelets.

    Args:
        channels_in: channels of the input.
        input_px, top_px: side of input and output.
        channels: returns the number of channels for a size in pixels.
        style_dim: width of the style.
        pictures: also output the wavelets of a picture.
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
        # At the start styles are the same for all frames: random styles would take long to unlearn in training from
        # scratch.
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
        channels: channels of the texture and of all layers.
        style_dim, mapping_layers: size of the mapping from the code.
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
        # The input is one sample, the same when rendering, so no running statistics are needed.
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, track_running_stats=False) for _ in layers)
        self.exit = Conv(channels, channels, 1, activate=False)

    def forward(self) -> Tensor:
        """Return the texture ``[1, channels, size, size]``."""
        style = self.mapping(self.code)
        x = self.constant
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x, style))
        return self.exit(x)


def sampled(texture: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample a texture ``[1, C, T, T]`` at places ``[B, H, W, 2]`` in [-1, 1]: ``[B, C, H, W]`` float32."""
    many = texture.float().expand(len(grid), -1, -1, -1)
    return F.grid_sample(many, grid, mode=mode, padding_mode="border", align_corners=False)
