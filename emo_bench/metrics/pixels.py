"""Metrics of pixel values: PSNR, SSIM and sharpness difference."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from emo_bench import __version__
from emo_bench.metrics.batch import FramesU8
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores

PEAK = 255.0


class PSNR(Metric):
    """10 log10(255^2 / MSE) over all pixels and channels of a frame; infinite for identical frames."""

    info = MetricInfo("psnr", "1", "Peak signal-to-noise ratio", "higher", "dB")
    backend = Backend("emo-bench", detail=__version__)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        assert reference is not None
        difference = frames.astype(np.int32) - reference
        mse = np.square(difference).mean(axis=(1, 2, 3), dtype=np.float64)
        with np.errstate(divide="ignore"):
            decibels: Scores = 10.0 * np.log10(PEAK**2 / mse)
        return decibels


class SSIM(Metric):
    """Structural similarity as Wang et al. 2004 define it, mean over channels and pixels.

    Gaussian window of 11 taps, sigma 1.5, K1 0.01, K2 0.03, population covariance, pixels whose window
    leaves the frame left out: scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`. Frames below 11 px give NaN.
    """

    info = MetricInfo("ssim", "1", "Structural similarity", "higher", "1", value_range="[0, 1]")
    backend = Backend("emo-bench", detail=f"{__version__}, gaussian 11 taps, sigma 1.5")

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        offsets = torch.arange(-5, 6, dtype=torch.float64)
        taps = torch.exp(-0.5 * (offsets / 1.5) ** 2)
        self._taps = (taps / taps.sum()).float().to(device)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        assert reference is not None
        if min(frames.shape[1:3]) < len(self._taps):
            return np.full(len(frames), np.nan)
        with torch.inference_mode():
            # A frame at a time bounds the memory; channels last makes the depthwise blur ten times as fast.
            pairs = zip(frames, reference, strict=True)
            return np.array([self._of_pair(self._to_planes(x), self._to_planes(y)) for x, y in pairs])

    def _to_planes(self, frame: NDArray[np.uint8]) -> Tensor:
        """[H,W,3] -> [1,3,H,W] in [0,1], channels last in memory."""
        planes = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        return (planes.float() / PEAK).permute(2, 0, 1)[None]

    def _of_pair(self, x: Tensor, y: Tensor) -> float:
        maps = torch.cat([x, y, x * x, y * y, x * y], dim=1)
        mean_x, mean_y, square_x, square_y, product = self._blur(maps).chunk(5, dim=1)
        variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
        covariance = product - mean_x * mean_y
        c1, c2 = 0.01**2, 0.03**2
        ratio = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
            (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
        )
        return float(ratio.mean(dtype=torch.float64))

    def _blur(self, maps: Tensor) -> Tensor:
        maps = maps.contiguous(memory_format=torch.channels_last)
        channels = maps.shape[1]
        down = self._taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        across = self._taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        return F.conv2d(F.conv2d(maps, down, groups=channels), across, groups=channels)


class SharpnessDifference(Metric):
    """Mean absolute difference of gradient sums |dx|+|dy| in 8-bit units over RGB and interior pixels.

    The gradients of Mathieu et al. 2016, section 3.1; the mean instead of their logarithm, which is the
    reading that fits Emo-Avatar's Table 1 (docs/metrics.md). Depends on the resolution.
    """

    info = MetricInfo("sd", "1", "Sharpness difference", "lower", "8-bit levels")
    backend = Backend("emo-bench", detail=__version__)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        assert reference is not None
        difference = np.abs(_gradient_sums(frames) - _gradient_sums(reference))
        means: Scores = difference.mean(axis=(1, 2, 3), dtype=np.float64)
        return means


def _gradient_sums(frames: FramesU8) -> NDArray[np.int16]:
    """|I(y,x) - I(y-1,x)| + |I(y,x) - I(y,x-1)| for y, x >= 1: int16 [B,H-1,W-1,3]."""
    levels = frames.astype(np.int16)
    here = levels[:, 1:, 1:]
    sums: NDArray[np.int16] = np.abs(here - levels[:, :-1, 1:]) + np.abs(here - levels[:, 1:, :-1])
    return sums
