"""The layers of StyleGAN2, fast on CPU and GPU without custom kernels.

Modulation is applied to the activations, so that a whole batch shares one convolution; FIR filters are
depthwise convolutions. Styles, demodulation and minibatch statistics are computed in float32, also under
autocast. Parameters hold the "equalised learning rate" form: N(0, 1) weights, scaled at run time.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emo_avatar.stylegan2.fir import blur, downsample, upsample

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
DEMODULATION_EPS = 1e-8


class FullyConnected(nn.Module):
    """Linear layer with run-time weight scaling; ``activate`` adds leaky ReLU with gain sqrt(2)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Convert ``[B, in_features]`` to ``[B, out_features]``."""
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        x = F.linear(x, self.weight * self.weight_gain, bias)
        return F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN if self.activate else x


class Conv(nn.Module):
    """Unmodulated convolution of the discriminator and of residual shortcuts.

    ``resample`` is "up" (kernel 1 only: convolve, then upsample), "down" (filter, then strided convolution)
    or "none". ``activate`` applies leaky ReLU with gain sqrt(2) after the bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activate: bool = True,
        resample: str = "none",
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        if resample == "up" and kernel_size != 1:
            raise ValueError("an unmodulated convolution upsamples only with kernel size 1")
        self.activate = activate
        self.resample = resample
        self.clamp = clamp
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Convert ``[B, in, H, W]`` to ``[B, out, H', W']``; ``gain`` scales the output."""
        # Leaky ReLU is positively homogeneous, so all gains can be applied to weight and bias.
        total = gain * (LRELU_GAIN if self.activate else 1.0)
        weight = self.weight * (self.weight_gain * total)
        bias = None if self.bias is None else self.bias * total
        stride, padding = 1, self.kernel_size // 2
        if self.resample == "down":
            padding = 0
            if self.kernel_size == 1:
                x = downsample(x)
            else:
                x, stride = blur(x, padding=2), 2
        x = F.conv2d(x, weight, bias, stride=stride, padding=padding)
        if self.resample == "up":
            x = upsample(x)
        if self.activate:
            x = F.leaky_relu(x, LRELU_SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by styles from w (Karras et al. 2020, section 2.2).

    It holds ``weight``, ``bias`` and ``affine``; `SynthesisLayer` and `ToRgb` extend it.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = 1.0 / math.sqrt(in_channels * kernel_size**2)

    def styles(self, w: Tensor) -> Tensor:
        """Return channel scales ``[B, in_channels]``, float32 also under autocast, from w ``[B, w_dim]``."""
        with torch.autocast(w.device.type, enabled=False):
            return self.affine(w.float())


class SynthesisLayer(ModulatedConv):
    """A 3x3 modulated and demodulated convolution, noise, bias, leaky ReLU; it can double the size."""

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        upsample: bool = False,
        use_noise: bool = True,
        clamp: float | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, w_dim, kernel_size=3)
        self.resolution = resolution
        self.clamp = clamp
        self.use_noise = use_noise
        self.upsample = upsample
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def noise(self, batch: int, noise_mode: str) -> Tensor | None:
        """Return scaled noise ``[B or 1, 1, r, r]``, or None if there is none."""
        if not self.use_noise or noise_mode == "none":
            return None
        if noise_mode == "const":
            return (self.noise_const * self.noise_strength)[None, None]
        shape = (batch, 1, self.resolution, self.resolution)
        return torch.randn(shape, device=self.noise_strength.device) * self.noise_strength

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "const", gain: float = 1.0) -> Tensor:
        """Convert ``x`` [B, in, r or r/2, same] and ``w`` [B, w_dim] to [B, out, r, r]."""
        styles = self.styles(w)
        total = gain * LRELU_GAIN
        with torch.autocast(w.device.type, enabled=False):
            energy = self.weight.square().sum(dim=(2, 3)) * self.weight_gain**2
            scale = torch.rsqrt(styles.square() @ energy.t() + DEMODULATION_EPS) * total
        x = x * styles.to(x.dtype)[:, :, None, None]
        weight = self.weight * self.weight_gain
        if not self.upsample:
            x = F.conv2d(x, weight, padding=1)
        else:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blur(x, padding=1, gain=4.0)
        offset = self.bias[None, :, None, None] * total
        noise = self.noise(x.shape[0], noise_mode)
        x = torch.addcmul(offset.to(x.dtype), x, scale.to(x.dtype)[:, :, None, None])
        if noise is not None:
            x = x + (noise * total).to(x.dtype)
        x = F.leaky_relu(x, LRELU_SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class ToRgb(ModulatedConv):
    """A 1x1 modulated convolution to image channels, without demodulation; float32 output."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__(in_channels, img_channels, w_dim, kernel_size=1)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convert ``x`` [B, in, r, r] and ``w`` [B, w_dim] to [B, img_channels, r, r] float32."""
        styles = self.styles(w) * self.weight_gain
        x = F.conv2d(x * styles.to(x.dtype)[:, :, None, None], self.weight)
        x = x.float() + self.bias[None, :, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
