"""The texture encoder, and the skip connections from its features into StyleGAN (paper figure 2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.stroke_skip import StrokeSkip


class TextureEncoder(nn.Module):
    """Strided convolutions over the sampled texture, from the image's resolution down to ``lowest_px``.

    With ``context``, coarse feature maps are also upsampled and mixed into the finer ones. Regions that the UV map does
    not cover (hair, the edge of the shoulders) can then be inferred from their surroundings.

    Args:
        in_channels: channels of texture features, mask and, if used, the background plate.
        resolution_px: side of the input.
        lowest_px: side of the coarsest feature map.
        width: channels at full resolution; doubled at each halving up to ``max_width``.
        context: whether coarse features are upsampled and mixed in.
    """

    def __init__(
        self, in_channels: int, resolution_px: int, lowest_px: int, width: int, max_width: int, context: bool
    ) -> None:
        super().__init__()
        self.widths: dict[int, int] = {}
        self.lead = nn.ModuleDict()
        self.blend = nn.ModuleDict()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.widths[resolution_px] = width
        self.down = nn.ModuleList()
        self.mix = nn.ModuleList()
        for step in range(int(math.log2(resolution_px // lowest_px))):
            here, there = (min(width << k, max_width) for k in (step, step + 1))
            self.down.append(nn.Conv2d(here, there, 3, stride=2, padding=1))
            self.mix.append(nn.Conv2d(there, there, 3, padding=1))
            self.widths[resolution_px >> (step + 1)] = there
        if context:
            for resolution in sorted(self.widths)[1:]:
                here, below = self.widths[resolution], self.widths[resolution // 2]
                led = max(here // 2, 8)
                self.lead[str(resolution)] = nn.Conv2d(below, led, 1)
                self.blend[str(resolution)] = nn.Conv2d(here + led, here, 3, padding=1)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Encode ``x [B, C, R, R]`` into feature maps by their side in pixels."""
        x = F.leaky_relu(self.stem(x), 0.2)
        features = {x.shape[-1]: x}
        for down, mix in zip(self.down, self.mix, strict=True):
            x = F.leaky_relu(down(x), 0.2)
            x = x + F.leaky_relu(mix(x), 0.2)
            features[x.shape[-1]] = x
        for key, blend in self.blend.items():
            here = features[int(key)]
            coarse = self.lead[key](features[int(key) // 2])
            coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
            features[int(key)] = here + F.leaky_relu(blend(torch.cat((here, coarse), dim=1)), 0.2)
        return features


class SkipFusion(nn.Module):
    """Fuses encoder features into StyleGAN's after ``conv1`` of some blocks, and into its RGB skip.

    Each fusion is a 3x3 convolution over both. Its weights start at a hundredth of their usual size, plus the identity
    for StyleGAN's channels, as in StyleGANEX. An untrained avatar is therefore nearly the tuned StyleGAN.

    Args:
        encoder_widths: channels of the encoder's feature maps by resolution.
        generator_widths: channels of StyleGAN's blocks by resolution.
        resolutions: sides in pixels of the blocks where features are fused.
        placement: at the lowest resolution, ``replace`` drops StyleGAN's features, ``warp`` moves them from the aligned
            head to its place in the frame, ``none`` does not move them.
    """

    def __init__(
        self,
        encoder_widths: dict[int, int],
        generator_widths: dict[int, int],
        resolutions: tuple[int, ...],
        placement: str,
    ) -> None:
        super().__init__()
        # The edit stage adds it; a fitted avatar has none.
        self.strokes: StrokeSkip | None = None
        self.lowest_px = min(resolutions)
        self.placement = placement
        self.lateral = nn.ModuleDict()
        self.fuse = nn.ModuleDict()
        self.to_rgb = nn.ModuleDict()
        for resolution in sorted(resolutions):
            key, width = str(resolution), generator_widths[resolution]
            lateral = min(width, encoder_widths[resolution])
            self.lateral[key] = nn.Conv2d(encoder_widths[resolution], lateral, 1)
            self.fuse[key] = _near_identity(width, lateral)
            self.to_rgb[key] = zero_conv(encoder_widths[resolution], 3)

    def apply_at(
        self, resolution: int, x: Tensor, rgb: Tensor | None, features: dict[int, Tensor], grid_affine: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Fuse at one block; other blocks pass through.

        Args:
            resolution: side of the block in pixels.
            x: StyleGAN's features ``[B, C, r, r]``.
            rgb: the RGB sum so far ``[B, 3, r, r]`` or None.
            features: the encoder's feature maps.
            grid_affine: ``[B, 2, 3]``, from frame to aligned-head coordinates, both in [-1, 1].
        """
        key = str(resolution)
        if key not in self.fuse:
            return x, rgb
        if resolution == self.lowest_px:
            x, rgb = self._place(x, rgb, grid_affine)
        encoded = features[resolution]
        lateral = F.leaky_relu(self.lateral[key](encoded), 0.2)
        x = self.fuse[key](torch.cat((x, lateral.to(x.dtype)), dim=1))
        added = self.to_rgb[key](encoded).float()
        return x, added if rgb is None else rgb + added

    def _place(self, x: Tensor, rgb: Tensor | None, grid_affine: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.placement == "replace":
            return torch.zeros_like(x), None
        if self.placement == "warp":
            grid = F.affine_grid(grid_affine, [len(x), 1, *x.shape[-2:]], align_corners=False)
            x = _warp(x, grid)
            rgb = None if rgb is None else _warp(rgb, grid)
        return x, rgb


def zero_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3x3 convolution that gives zero until it is trained."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.zero_()
    return conv


def _warp(x: Tensor, grid: Tensor) -> Tensor:
    moved = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.to(x.dtype)


def _near_identity(width: int, lateral: int) -> nn.Conv2d:
    conv = nn.Conv2d(width + lateral, width, 3, padding=1)
    with torch.no_grad():
        conv.weight.mul_(0.01)
        conv.bias.zero_()  # type: ignore[union-attr]
        for channel in range(width):
            conv.weight[channel, channel, 1, 1] += 1.0
    return conv
