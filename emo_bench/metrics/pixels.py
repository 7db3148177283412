"""Pixel errors: PSNR per frame, PSNR of a video's mean squared error, and the mean absolute error."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores

PEAK = 255.0


class PSNR(Metric):
    """PSNR: 10 log10(255^2 / MSE) over all pixels and channels of a frame; infinite for identical frames.

    With a region, the MSE is computed over the region's pixels; NaN if the region is empty.
    """

    info = MetricInfo(
        "psnr", "1", "Peak signal-to-noise ratio", "higher", "dB", takes_region=True, undefined="the region is empty"
    )
    backend = Backend("emo-bench", detail=__version__)

    def score_batch(self, batch: Batch) -> Scores:
        return decibels(
            batch.once(("mean squared error", batch.region is not None), lambda: mean_squared_errors(batch))
        )


class PSNRGlobal(PSNR):
    """PSNR of a video: 10 log10(255^2 / mean MSE of its frames); a single frame's score is its PSNR.

    Every frame has the same weight, independent of the size of its region. The result is never above the mean of the
    frames' PSNR (Jensen).
    """

    info = replace(
        PSNR.info,
        id="psnr_global",
        title="PSNR of the video's mean squared error",
        averaging="PSNR of the mean of the frames' MSE",
    )

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        defined = scores[~np.isnan(scores)]
        if not len(defined):
            return float("nan")
        errors = PEAK**2 / 10.0 ** (defined / 10.0)
        return float(decibels(errors.mean(keepdims=True))[0])


class L1(Metric):
    """Mean absolute error over all pixels and channels of a frame, colours in [0, 1]: 0 for identical frames.

    The `mae` of PointAvatar's ``code/utils/metrics.py`` without a mask, called L1 or MAE in the tables of head avatars.
    With a region, the mean is taken over the region's pixels; NaN if the region is empty.
    """

    info = MetricInfo(
        "l1",
        "1",
        "Mean absolute error",
        "lower",
        "1",
        value_range="[0, 1]",
        takes_region=True,
        undefined="the region is empty",
    )
    backend = Backend("emo-bench", detail=__version__)

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(batch.levels("frames"), batch.levels("reference"), strict=True)
        if batch.region is None:
            return np.array([_absolutes(x, y) / max(x.size, 1) for x, y in pairs]) / PEAK
        counts = 3.0 * PEAK * batch.region.sum(axis=(1, 2), dtype=np.float64)
        sums = [_absolutes(x[mask], y[mask]) for (x, y), mask in zip(pairs, batch.region, strict=True)]
        return np.divide(sums, counts, out=np.full(len(batch), np.nan), where=counts > 0)


def decibels(errors: Scores) -> Scores:
    """Convert mean squared errors, in squared 8-bit levels, to PSNR in dB; infinite for 0."""
    with np.errstate(divide="ignore"):
        ratios: Scores = 10.0 * np.log10(PEAK**2 / errors)
    return ratios


def mean_squared_errors(batch: Batch) -> Scores:
    """Compute the MSE over the region's pixels and channels, 8-bit levels squared: float64 [B]; NaN = empty region."""
    pairs = zip(batch.levels("frames"), batch.levels("reference"), strict=True)
    kind = np.int16 if batch.unrounded is None else np.float64
    if batch.region is None:
        return np.array([_squares(np.subtract(x, y, dtype=kind)) / max(x.size, 1) for x, y in pairs])
    counts = 3.0 * batch.region.sum(axis=(1, 2), dtype=np.float64)
    masked = zip(pairs, batch.region, strict=True)
    sums = [_squares(np.subtract(x[mask], y[mask], dtype=kind)) for (x, y), mask in masked]
    return np.divide(sums, counts, out=np.full(len(batch), np.nan), where=counts > 0)


def _squares(differences: NDArray[Any]) -> float:
    """Compute the sum of squares; it is exact for whole levels, whose squares add up to less than 2^53."""
    flat = differences.ravel().astype(np.float64)
    return float(flat @ flat)


def _absolutes(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Compute the sum of absolute differences; it is exact for whole levels."""
    return float((np.maximum(x, y) - np.minimum(x, y)).sum(dtype=np.int64 if x.dtype == np.uint8 else np.float64))
