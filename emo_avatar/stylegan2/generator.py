"""The StyleGAN2 generator: mapping from z to w, and synthesis from w to images."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from emo_avatar.stylegan2.config import GeneratorConfig, NoiseMode
from emo_avatar.stylegan2.fir import upsample
from emo_avatar.stylegan2.layers import Conv, FullyConnected, SynthesisLayer, ToRgb

Fuse = Callable[[int, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""Called after ``conv1`` of each block as ``fuse(r, x, rgb)``: x [B, C, r, r], rgb [B, 3, r, r] or None."""


class Mapping(nn.Module):
    """The mapping from z to w: normalise, then fully connected layers; w is repeated for each synthesis layer."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.mapping_width or config.w_dim
        widths = [config.z_dim, *[hidden] * (config.mapping_layers - 1), config.w_dim]
        for i in range(config.mapping_layers):
            layer = FullyConnected(widths[i], widths[i + 1], activate=True, lr_multiplier=config.mapping_lr_multiplier)
            setattr(self, f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def to_w(self, z: Tensor) -> Tensor:
        """Map latents ``[B, z_dim]`` to ``[B, w_dim]``, float32, without truncation."""
        with torch.autocast(z.device.type, enabled=False):
            x = z.float()
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
            for i in range(self.config.mapping_layers):
                x = getattr(self, f"fc{i}")(x)
            return x

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map ``z`` [B, z_dim] to ``ws`` [B, num_ws, w_dim].

        ``truncation_psi`` interpolates between the average w (0) and w (1); ``truncation_cutoff`` limits that to the
        first layers (None: all).
        """
        ws = self.to_w(z)[:, None].repeat(1, self.config.num_ws, 1)
        if truncation_psi == 1.0:
            return ws
        cutoff = self.config.num_ws if truncation_cutoff is None else truncation_cutoff
        near = self.w_avg.lerp(ws[:, :cutoff], truncation_psi)
        return torch.cat([near, ws[:, cutoff:]], dim=1)

    @torch.no_grad()
    def update_w_avg(self, w: Tensor) -> None:
        """Update the running average of w with the mean of ``w`` [B, w_dim] (training)."""
        self.w_avg.copy_(w.detach().float().mean(dim=0).lerp(self.w_avg, self.config.w_avg_beta))


class SynthesisBlock(nn.Module):
    """The layers of one resolution; the block at 4x4 starts from a learned constant."""

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.residual = config.architecture == "resnet" and resolution > 4
        out = config.channels(resolution)
        noise, clamp = config.use_noise, config.conv_clamp
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(out, 4, 4))
        else:
            inner = config.channels(resolution // 2)
            self.conv0 = SynthesisLayer(
                inner, out, config.w_dim, resolution, upsample=True, use_noise=noise, clamp=clamp
            )
            if self.residual:
                self.skip = Conv(inner, out, 1, bias=False, activate=False, resample="up")
        self.conv1 = SynthesisLayer(out, out, config.w_dim, resolution, use_noise=noise, clamp=clamp)
        self.has_rgb = config.architecture == "skip" or resolution == config.img_resolution
        if self.has_rgb:
            self.torgb = ToRgb(out, config.img_channels, config.w_dim, clamp=clamp)

    @property
    def num_conv(self) -> int:
        """The number of w vectors that the block's convolutions use; torgb uses the next one."""
        return 1 if self.resolution == 4 else 2

    def forward(
        self, x: Tensor | None, rgb: Tensor | None, ws: Tensor, noise_mode: NoiseMode, fuse: Fuse | None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute features and rgb of this block from those of the block before and ``ws`` [B, num_conv + 1, w_dim]."""
        if x is None:
            x = self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, ws[:, 0], noise_mode)
        elif self.residual:
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[:, 0], noise_mode)
            x = shortcut + self.conv1(x, ws[:, 1], noise_mode, gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x, ws[:, 0], noise_mode), ws[:, 1], noise_mode)
        if rgb is not None:
            rgb = upsample(rgb)
        if fuse is not None:
            x, rgb = fuse(self.resolution, x, rgb)
        if self.has_rgb:
            here = self.torgb(x, ws[:, self.num_conv])
            rgb = here if rgb is None else rgb + here
        return x, rgb


class Synthesis(nn.Module):
    """The synthesis from ws to images: blocks ``b4``, ``b8``, ... of doubling resolution."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            setattr(self, f"b{resolution}", SynthesisBlock(config, resolution))

    def forward(
        self, ws: Tensor, noise_mode: NoiseMode = "const", fuse: Fuse | None = None, until: int | None = None
    ) -> Tensor:
        """Render ``ws`` [B, num_ws, w_dim] to images [B, img_channels, R, R], float32, about [-1, 1].

        ``noise_mode``: "const" uses the stored noise, "random" draws it from torch's global generator,
        "none" leaves it out. ``fuse(r, x, rgb)`` is called after ``conv1`` of each block, before its torgb,
        with the features x [B, C, r, r] and the rgb so far upsampled to r (None at 4 px, and always for
        the resnet and orig architectures), and returns their replacements. ``until`` stops a skip architecture at that
        resolution; the rgb there is the image.

        Raises ValueError for a wrong shape of ``ws`` or an unknown noise mode.
        """
        config = self.config
        if ws.ndim != 3 or tuple(ws.shape[1:]) != (config.num_ws, config.w_dim):
            raise ValueError(f"ws is {tuple(ws.shape)}, not [B, {config.num_ws}, {config.w_dim}]")
        if noise_mode not in ("const", "random", "none"):
            raise ValueError(f"noise_mode is {noise_mode!r}, not 'const', 'random' or 'none'")
        x: Tensor | None = None
        rgb: Tensor | None = None
        first = 0
        for resolution in config.resolutions:
            if until is not None and resolution > until:
                break
            block: SynthesisBlock = getattr(self, f"b{resolution}")
            block_ws = ws[:, first : first + block.num_conv + 1]
            x, rgb = block(x, rgb, block_ws, noise_mode, fuse)
            first += block.num_conv
        assert rgb is not None
        return rgb.contiguous()

    def noise_buffers(self) -> dict[str, Tensor]:
        """Return the constant noise planes [r, r] by name; empty for a network built without noise."""
        return {name: buffer for name, buffer in self.named_buffers() if name.endswith("noise_const")}


class Generator(nn.Module):
    """StyleGAN2 generator; ``generator.mapping`` and ``generator.synthesis`` are its two parts."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)

    def forward(
        self,
        z: Tensor,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
    ) -> Tensor:
        """Convert latents ``[B, z_dim]`` to images ``[B, img_channels, R, R]``, float32, about [-1, 1]."""
        return self.synthesis(self.mapping(z, truncation_psi, truncation_cutoff), noise_mode)
