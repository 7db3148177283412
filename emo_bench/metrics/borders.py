"""SSIM and MS-SSIM as other code computes them: other borders of the frame, and other averages over channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.structural import (
    REACH,
    SCALE_WEIGHTS,
    SIGMA,
    SSIM,
    TAPS,
    MultiScaleSSIM,
    averages_by_channel,
    halved,
    product_of_scales,
    to_planes,
)

# torchmetrics' modules of the NeRSemble authors' evaluator get this many frames at once.
FRAMES_AT_ONCE = 16


class WholeFrameSSIM(SSIM):
    """SSIM over the whole frame, also if a region is scored: IMavatar blackens the rest of the frame instead."""

    info = replace(SSIM.info, id="ssim-whole", title="SSIM of the whole frame", takes_region=False, undefined="")

    def score_batch(self, batch: Batch) -> Scores:
        return super().score_batch(batch.whole())


class _BorderedSSIM(Metric):
    """SSIM averaged over every pixel; the windows that extend beyond the frame see `border` pixels there."""

    border: ClassVar[Literal["constant", "reflect"]]

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(batch.levels("frames"), batch.levels("reference"), strict=True)
        return np.array([self._of_pair(x, y) for x, y in pairs], dtype=np.float64)

    def _of_pair(self, frame: NDArray[Any], reference: NDArray[Any]) -> float:
        x, y = (to_planes(bordered(side, self.border), self.device) for side in (frame, reference))
        return float(averages_by_channel(x, y)[0].mean())


class PaddedSSIM(_BorderedSSIM):
    """SSIM with black pixels around the frame, averaged over every pixel, as gaussian-splatting's loss_utils.py.

    The window is that of `SSIM`: Gaussian, 11 taps, sigma 1.5. The border of 5 px raises the score, because the black
    pixels outside are the same in frame and reference.
    """

    info = MetricInfo("ssim-padded", "1", "SSIM, black border, every pixel", "higher", "1", value_range="[0, 1]")
    backend = Backend("emo-bench", detail=f"{__version__}, gaussian {TAPS} taps, sigma {SIGMA}, zeros outside")
    border = "constant"


class ReflectedSSIM(_BorderedSSIM):
    """SSIM with the frame reflected at its edges, averaged over every pixel, as torchmetrics computes it.

    The number of a video is the mean over batches of 16 frames of their mean, as in the NeRSemble authors' evaluator:
    the frames of a shorter last batch have more weight.
    """

    info = MetricInfo(
        "ssim-reflect",
        "1",
        "SSIM, reflected border, every pixel",
        "higher",
        "1",
        value_range="[0, 1]",
        averaging=f"mean over batches of {FRAMES_AT_ONCE} frames of their mean",
        least_px=REACH + 1,
    )
    backend = Backend("emo-bench", detail=f"{__version__}, gaussian {TAPS} taps, sigma {SIGMA}, reflected outside")
    border = "reflect"

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        return mean_of_batches(scores)


class _ScalesMSSSIM(Metric):
    """MS-SSIM as a product over five scales, whose factors a subclass computes."""

    backend = MultiScaleSSIM.backend

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(batch.levels("frames"), batch.levels("reference"), strict=True)
        return np.array([self._of_pair(x, y) for x, y in pairs], dtype=np.float64)

    def _of_pair(self, frame: NDArray[Any], reference: NDArray[Any]) -> float:
        raise NotImplementedError


class ReflectedMSSSIM(_ScalesMSSSIM):
    """MS-SSIM as torchmetrics computes it: at scale 5, SSIM is averaged over every pixel, with a reflected border.

    The other scales are those of `MultiScaleSSIM`, without the border. The number of a video is that of
    `ReflectedSSIM`.
    """

    info = replace(
        MultiScaleSSIM.info,
        id="ms_ssim-reflect",
        title="MS-SSIM, reflected border at the last scale",
        takes_region=False,
        undefined="",
        averaging=ReflectedSSIM.info.averaging,
    )

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        return mean_of_batches(scores)

    def _of_pair(self, frame: NDArray[Any], reference: NDArray[Any]) -> float:
        x, y = to_planes(frame, self.device), to_planes(reference, self.device)
        factors = []
        for _ in range(len(SCALE_WEIGHTS) - 1):
            factors.append(averages_by_channel(x, y)[1].mean())
            x, y = halved(x), halved(y)
        x, y = bordered(x, "reflect"), bordered(y, "reflect")
        return float(product_of_scales(np.array([*factors, averages_by_channel(x, y)[0].mean()])))


class ChannelMSSSIM(_ScalesMSSSIM):
    """MS-SSIM as the package pytorch-msssim computes it: the product in each channel, then the mean of the channels.

    At a scale with an odd number of rows or columns, a line of zeros is put on both sides before the 2x2 pixels are
    averaged; `MultiScaleSSIM` drops the last line instead.
    """

    info = replace(
        MultiScaleSSIM.info,
        id="ms_ssim-channels",
        title="MS-SSIM, mean of the channels' products",
        takes_region=False,
        least_px=161,
        undefined="",
    )

    def _of_pair(self, frame: NDArray[Any], reference: NDArray[Any]) -> float:
        x, y = to_planes(frame, self.device), to_planes(reference, self.device)
        factors = []
        for _ in range(len(SCALE_WEIGHTS) - 1):
            factors.append(averages_by_channel(x, y)[1])
            x, y = halved(_made_even(x)), halved(_made_even(y))
        factors.append(averages_by_channel(x, y)[0])
        return float(product_of_scales(np.stack(factors, axis=-1)).mean())


def bordered(planes: NDArray[Any], border: Literal["constant", "reflect"]) -> NDArray[Any]:
    """Return a frame with the 5 px that windows need around it: zeros, or the frame's own pixels reflected."""
    return _padded(planes, (REACH, REACH), border)


def mean_of_batches(scores: Scores) -> float:
    """Return the mean of the means of batches of 16 defined scores."""
    defined = scores[~np.isnan(scores)]
    means = [part.mean() for part in batches(defined)]
    return float(np.mean(means)) if means else float("nan")


def batches(scores: Scores) -> Sequence[Scores]:
    """Return the scores in batches of 16, the last one may be shorter."""
    return [scores[start : start + FRAMES_AT_ONCE] for start in range(0, len(scores), FRAMES_AT_ONCE)]


def _made_even(planes: NDArray[Any]) -> NDArray[Any]:
    """Put a line of zeros on both sides of a direction with an odd number of pixels."""
    height, width = planes.shape[:2] if isinstance(planes, np.ndarray) else planes.shape[1:]
    return _padded(planes, (height % 2, width % 2), "constant")


def _padded(planes: NDArray[Any], sizes: tuple[int, int], border: Literal["constant", "reflect"]) -> NDArray[Any]:
    rows, columns = sizes
    if isinstance(planes, np.ndarray):
        return np.pad(planes, ((rows, rows), (columns, columns), (0, 0)), mode=border)
    import torch

    return torch.nn.functional.pad(planes[None], (columns, columns, rows, rows), mode=border)[0]
