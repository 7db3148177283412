"""The feature stages of LPIPS (AlexNet, VGG-16) and of their shift-tolerant forms, without weights.

Shift-tolerant networks (Ghildyal and Liu, ECCV 2022) drop no sample without a low-pass filter: every stride is replaced
by stride 1 and then a blur with stride 2 (binomial filter of 3 taps, reflection padding of 2).
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ALEX_CHANNELS = (64, 192, 384, 256, 256)
VGG_CHANNELS = (64, 128, 256, 512, 512)
VGG_CONVOLUTIONS = (2, 2, 3, 3, 3)


class BlurPool(nn.Module):
    """Apply a low-pass filter and keep every second sample: [B,C,H,W] -> [B,C,H//2+1,W//2+1]."""

    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(taps, taps).expand(channels, 1, 3, 3).contiguous()
        self.register_buffer("filter", kernel, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        padded = F.pad(features, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(padded, self.filter, stride=2, groups=features.shape[1])


class MaxPool(nn.MaxPool2d):
    """Max pooling without padding; where no gradient is needed, by comparing shifted maps: equal values, much faster.

    With gradients torch's own layer is used: it gives the whole gradient to one of several equal values.
    """

    def __init__(self, size: int, stride: int) -> None:
        super().__init__(size, stride)
        self._size, self._step = size, stride

    def forward(self, features: Tensor) -> Tensor:
        if features.requires_grad or min(features.shape[2:]) < self._size:
            return super().forward(features)
        for axis in (2, 3):
            last = features.shape[axis] - self._size
            windows = (slice(k, last + k + 1, self._step) for k in range(self._size))
            before = (slice(None),) * axis
            features = reduce(torch.maximum, (features[(*before, window)] for window in windows))
        return features


class BlurredConvolution(nn.Conv2d):
    """A convolution with stride 1 followed by `BlurPool`, as one convolution with stride 2.

    Two linear filters combine to one: a third of the multiplications and no full-size map. At the first row and column
    the reflection repeats the second one; at the last, for an even size, the reflected sample is at the filter's
    centre.
    """

    def forward(self, images: Tensor) -> Tensor:
        whole, cut = (0.25, 0.5, 0.25), (0.5, 0.5)
        pad = int(self.padding[0])
        images = F.pad(images, (pad, pad, pad, pad))
        odd_height, odd_width = (size % 2 == self.kernel_size[0] % 2 for size in images.shape[2:])
        found = self._filtered(images, whole, whole)
        if not odd_height:
            last = images[:, :, -len(cut) - self.kernel_size[0] + 1 :]
            found = torch.cat([found, self._filtered(last, cut, whole)], dim=2)
        if not odd_width:
            last = images[:, :, :, -len(cut) - self.kernel_size[1] + 1 :]
            column = self._filtered(last, whole, cut)
            if not odd_height:
                corner = last[:, :, -len(cut) - self.kernel_size[0] + 1 :]
                column = torch.cat([column, self._filtered(corner, cut, cut)], dim=2)
            found = torch.cat([found, column], dim=3)
        return F.pad(found, (1, int(odd_width), 1, int(odd_height)), mode="replicate")

    def _filtered(self, images: Tensor, down: tuple[float, ...], across: tuple[float, ...]) -> Tensor:
        """Convolve with the kernel blurred by the taps `down` and `across`, stride 2, no padding."""
        blur = torch.outer(self.weight.new_tensor(down), self.weight.new_tensor(across))
        planes = self.weight.reshape(-1, 1, *self.kernel_size)
        grown = F.conv2d(planes, blur[None, None], padding=(len(down) - 1, len(across) - 1))
        kernel = grown.reshape(*self.weight.shape[:2], *grown.shape[2:])
        # A column is processed as a row: oneDNN 3.13 reads beyond narrow bfloat16 pictures on processors with AMX.
        if images.shape[3] < images.shape[2]:
            return self._strided(images.mT, kernel.mT).mT
        return self._strided(images, kernel)

    def _strided(self, images: Tensor, kernel: Tensor) -> Tensor:
        kernel, images = (x.contiguous(memory_format=torch.channels_last) for x in (kernel, images))
        return F.conv2d(images, kernel, self.bias, stride=2)


def alex_stages(shift_tolerant: bool) -> list[nn.Sequential]:
    """AlexNet up to its five rectified convolutions, as in LPIPS."""
    first, *rest = ALEX_CHANNELS
    if shift_tolerant:
        stages = [nn.Sequential(BlurredConvolution(3, first, 11, padding=2), nn.ReLU(inplace=True))]
    else:
        stages = [nn.Sequential(nn.Conv2d(3, first, 11, stride=4, padding=2), nn.ReLU(inplace=True))]
    before = first
    for index, channels in enumerate(rest):
        size = 5 if index == 0 else 3
        layers = [nn.Conv2d(before, channels, size, padding=size // 2), nn.ReLU(inplace=True)]
        if index < 2:
            layers = [*_pool(before, 3, shift_tolerant), *layers]
        stages.append(nn.Sequential(*layers))
        before = channels
    return stages


def vgg_stages(shift_tolerant: bool) -> list[nn.Sequential]:
    """VGG-16 up to the last rectified convolution of each of its five resolutions."""
    stages = []
    before = 3
    for index, (channels, convolutions) in enumerate(zip(VGG_CHANNELS, VGG_CONVOLUTIONS, strict=True)):
        layers = _pool(before, 2, shift_tolerant) if index else []
        for _ in range(convolutions):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
            before = channels
        stages.append(nn.Sequential(*layers))
    return stages


def _pool(channels: int, size: int, shift_tolerant: bool) -> list[nn.Module]:
    if shift_tolerant:
        return [MaxPool(size, stride=1), BlurPool(channels)]
    return [MaxPool(size, stride=2)]
