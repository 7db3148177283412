"""The StyleGAN2 discriminator."""

import math

import torch
from torch import Tensor, nn

from emo_avatar.stylegan2.config import DiscriminatorConfig
from emo_avatar.stylegan2.fir import downsample
from emo_avatar.stylegan2.layers import Conv, FullyConnected


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the resolution."""

    def __init__(self, config: DiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        inner, out = config.channels(resolution), config.channels(resolution // 2)
        clamp = config.conv_clamp
        self.has_rgb = resolution == config.img_resolution or config.architecture == "skip"
        if self.has_rgb:
            self.fromrgb = Conv(config.img_channels, inner, 1, clamp=clamp)
        self.conv0 = Conv(inner, inner, 3, clamp=clamp)
        self.conv1 = Conv(inner, out, 3, resample="down", clamp=clamp)
        if config.architecture == "resnet":
            self.skip = Conv(inner, out, 1, bias=False, activate=False, resample="down")

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return features and image at half the resolution."""
        if self.has_rgb:
            assert img is not None
            features = self.fromrgb(img)
            x = features if x is None else x + features
            img = downsample(img) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = shortcut + self.conv1(self.conv0(x), gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x))
        return x, img


class DiscriminatorEpilogue(nn.Module):
    """Convert 4x4 features to one logit, with minibatch standard deviation as an extra channel."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.group_size = config.mbstd_group_size
        self.mbstd_channels = config.mbstd_channels
        channels = config.channels(4)
        self.has_rgb = config.architecture == "skip"
        if self.has_rgb:
            self.fromrgb = Conv(config.img_channels, channels, 1)
        self.conv = Conv(channels + config.mbstd_channels, channels, 3, clamp=config.conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, activate=True)
        self.out = FullyConnected(channels, 1)

    def forward(self, x: Tensor, img: Tensor | None) -> Tensor:
        """Convert ``[B, C, 4, 4]`` to logits ``[B, 1]``, computed in float32."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float().contiguous()
            if self.has_rgb:
                assert img is not None
                x = x + self.fromrgb(img.float())
            if self.mbstd_channels > 0:
                x = torch.cat([x, minibatch_deviation(x, self.group_size, self.mbstd_channels)], dim=1)
            return self.out(self.fc(self.conv(x).flatten(1)))


def minibatch_deviation(x: Tensor, group_size: int | None, channels: int) -> Tensor:
    """Compute the standard deviation over groups of the batch, averaged over features: ``[B, channels, H, W]``.

    Raises ValueError if the batch of ``x`` [B, C, H, W] is not a multiple of the group size (a batch smaller than the
    group is one group).
    """
    batch, width, height, breadth = x.shape
    group = batch if group_size is None else min(group_size, batch)
    if batch % group:
        raise ValueError(f"the batch of {batch} is not a multiple of the minibatch-deviation group of {group}")
    y = x.reshape(group, -1, channels, width // channels, height, breadth)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    return y.reshape(-1, channels, 1, 1).repeat(group, 1, height, breadth)


class Discriminator(nn.Module):
    """StyleGAN2 discriminator: blocks ``b{R}`` ... ``b8`` and the epilogue ``b4``."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions[:0:-1]:
            setattr(self, f"b{resolution}", DiscriminatorBlock(config, resolution))
        self.b4 = DiscriminatorEpilogue(config)

    def forward(self, images: Tensor) -> Tensor:
        """Convert images ``[B, img_channels, R, R]`` in about [-1, 1] to logits ``[B, 1]`` (positive: real)."""
        x: Tensor | None = None
        img: Tensor | None = images.contiguous(memory_format=torch.channels_last)
        for resolution in self.config.resolutions[:0:-1]:
            x, img = getattr(self, f"b{resolution}")(x, img)
        assert x is not None
        return self.b4(x, img)
