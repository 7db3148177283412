"""The [1, 3, 3, 1] low-pass filter of StyleGAN2 as depthwise convolutions, differentiable twice.

The filter is symmetric, so the gradient of each operation is another one of the three. This explicit gradient replaces
PyTorch's generic second derivative, which loops over the channels. Strided filters are computed in float32 on the CPU,
because the bfloat16 kernels there are more than ten times slower.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_kernel() -> Tensor:
    """Return the filter as a ``[4, 4]`` float32 kernel that sums to 1."""
    taps = torch.tensor(FIR_TAPS)
    return torch.outer(taps, taps) / taps.sum() ** 2


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Filter ``x`` [B, C, H, W] with zero padding: ``[B, C, H + 2*padding - 3, W + 2*padding - 3]``."""
    return _Blur.apply(x, padding, gain)


def upsample(x: Tensor) -> Tensor:
    """Zero-insert by 2 and filter with gain 4: ``[B, C, H, W]`` to ``[B, C, 2H, 2W]``."""
    return _Upsample.apply(x, 4.0)


def downsample(x: Tensor) -> Tensor:
    """Filter and take every second pixel: ``[B, C, H, W]`` to ``[B, C, H/2, W/2]`` (H and W even)."""
    return _Downsample.apply(x, 1.0)


@cache
def _depthwise(channels: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return (fir_kernel() * gain).to(device, dtype).expand(channels, 1, 4, 4)


def _weight(x: Tensor, gain: float) -> Tensor:
    return _depthwise(x.shape[1], gain, x.dtype, x.device)


def _strided_input(x: Tensor) -> Tensor:
    slow = x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)
    return x.float() if slow else x


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int, gain: float) -> Tensor:
        ctx.padding, ctx.gain = padding, gain
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, _weight(x, gain), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        return _Blur.apply(gradients[0], 3 - ctx.padding, ctx.gain), None, None


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        wide = _strided_input(x)
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv_transpose2d(wide, _weight(wide, gain), stride=2, padding=1, groups=x.shape[1])
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _Downsample.apply(gradients[0], ctx.gain), None


class _Downsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float) -> Tensor:
        ctx.gain = gain
        wide = _strided_input(x)
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv2d(wide, _weight(wide, gain), stride=2, padding=1, groups=x.shape[1])
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _Upsample.apply(gradients[0], ctx.gain), None
