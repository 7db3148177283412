"""Metrics as other projects' code computes them, for comparison with their tables (see conventions.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.metrics.batch import Batch, Settings
from emo_bench.metrics.borders import FRAMES_AT_ONCE, batches
from emo_bench.metrics.detectors import NO_FACE, Landmarks68, box_detector, missing_box_detector
from emo_bench.metrics.flmd import ALL_POINTS, LIPS, LandmarkDistance
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.perceptual import LPIPS, LPIPSVGG
from emo_bench.metrics.pixels import PEAK, PSNR, PSNRGlobal, decibels, mean_squared_errors

EPSILON = 1e-8


class PSNRWithEpsilon(Metric):
    """20 log10(1 / (RMSE + 1e-8)) on [0, 1], as in PointAvatar's metrics.py: identical frames give 160 dB.

    With a region, the mean is taken over the region's pixels, as in IMavatar's calculate_metrics.py.
    """

    info = MetricInfo(
        "psnr-eps",
        "1",
        "PSNR with epsilon (PointAvatar)",
        "higher",
        "dB",
        value_range="[0, 1]",
        takes_region=True,
        undefined="the region is empty",
    )
    backend = Backend("emo-bench", detail=__version__)

    def score_batch(self, batch: Batch) -> Scores:
        rmse = np.sqrt(mean_squared_errors(batch)) / PEAK
        decibels: Scores = 20.0 * np.log10(1.0 / (rmse + EPSILON))
        return decibels


class ChannelPSNR(Metric):
    """The mean of the PSNR of the three channels, as gaussian-splatting's and GaussianAvatars' train.py print it.

    Their function takes a frame ``[3, H, W]`` as three pictures. It is never below the PSNR of the whole frame. It is
    infinite if one channel is identical.
    """

    info = MetricInfo("psnr-channels", "1", "PSNR, mean of the channels' values", "higher", "dB")
    backend = Backend("emo-bench", detail=__version__)

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(batch.levels("frames"), batch.levels("reference"), strict=True)
        errors = [np.square(np.subtract(x, y, dtype=np.float64)).mean(axis=(0, 1)) for x, y in pairs]
        values: Scores = decibels(np.array(errors).reshape(-1, 3)).mean(axis=1)
        return values


class BatchPSNR(PSNR):
    """PSNR of the mean squared error of 16 frames at a time, as torchmetrics gives it to the NeRSemble authors.

    The score of a frame is its PSNR; the number of a video is the mean over its batches of 16 frames.
    """

    info = replace(
        PSNR.info,
        id="psnr-batch16",
        title="PSNR of 16 frames at a time",
        averaging=f"PSNR of the mean MSE of {FRAMES_AT_ONCE} frames, mean over such batches",
    )

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        values = [PSNRGlobal.aggregate(part) for part in batches(scores[~np.isnan(scores)])]
        return float(np.mean(values)) if values else float("nan")


class _FedUnitRange(LPIPS):
    """LPIPS whose network receives inputs in [0, 1] instead of the [-1, 1] that it was trained on."""

    def _to_input(self, frames: NDArray[Any]) -> torch.Tensor:
        return (super()._to_input(frames) + 1.0) / 2.0


class WholeFrameLPIPS(LPIPS):
    """LPIPS of the whole frame, also if a region is scored: IMavatar blackens the rest of the frame instead."""

    info = replace(
        LPIPS.info, id="lpips-whole", title="LPIPS of the whole frame", takes_region=False, fallback=None, undefined=""
    )

    def score_batch(self, batch: Batch) -> Scores:
        return super().score_batch(batch.whole())


class LPIPSFedUnitRange(_FedUnitRange):
    """LPIPS with AlexNet on inputs in [0, 1], as in GaussianAvatars' train.py."""

    info = replace(
        LPIPS.info, id="lpips-01", title="LPIPS v0.1, AlexNet, fed [0, 1]", value_range="[0, 1]", fallback=None
    )


class LPIPSVGGFedUnitRange(_FedUnitRange):
    """LPIPS with VGG16 on inputs in [0, 1], as in GaussianAvatars' metrics.py."""

    info = replace(
        LPIPSVGG.info, id="lpips-vgg-01", title="LPIPS v0.1, VGG16, fed [0, 1]", value_range="[0, 1]", fallback=None
    )
    distance = "lpips-vgg"


class NativeFLMD(LandmarkDistance):
    """Mean distance of the 68 landmarks in pixels of the frames' own size, not centred; each face is found alone."""

    info = MetricInfo("flmd-native", "1", "F-LMD at the frames' own size", "lower", "px", undefined=NO_FACE)
    points, size_px = ALL_POINTS, None


class OneBoxFLMD(LandmarkDistance):
    """As `NativeFLMD`, but the frame's landmarks are looked for in the box of the reference's face.

    That is how Neural Head Avatars' EuclLmkDistance works, with face-alignment. A frame whose face is lost still gets
    landmarks; only a reference without a face has no score.
    """

    info = MetricInfo(
        "flmd-one-box",
        "1",
        "F-LMD at the frames' own size, in the box of the reference's face",
        "lower",
        "px",
        undefined="no face was found in the reference",
    )
    size_px = None

    @classmethod
    def missing(cls) -> str | None:
        return missing_box_detector()

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        return missing_box_detector(settings.detector)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, box_detector(settings.detector))

    def score_batch(self, batch: Batch) -> Scores:
        pairs = self._finder.pairs_in_one_box(batch)
        return np.array([np.nan if pair is None else self._of_pair(*pair, 1.0) for pair in pairs], dtype=np.float64)


class CoordinateDistance(LandmarkDistance):
    """Mean of |difference| over x and y of the 68 landmarks, in pixels of the frames' own size.

    That is the AKD of OTAvatar and of the evaluation code of Monkey-Net and FOMM (AliaksandrSiarohin/pose-evaluation),
    with face-alignment's landmarks. It lies between 1 / sqrt(2) and 1 / 2 of the mean distance of the points.
    """

    info = MetricInfo("akd-l1", "1", "AKD: 68 landmarks, by coordinate", "lower", "px", undefined=NO_FACE)

    def _of_pair(self, mine: Landmarks68, theirs: Landmarks68, scale: float) -> float:
        return float(np.abs(mine.astype(np.float64) - theirs).mean())


class NativeLMD(LandmarkDistance):
    """Mean distance of 68 landmarks, each set centred, in pixels of the frames' own size, as in RAD-NeRF's LMDMeter."""

    info = MetricInfo("lmd-native", "1", "LMD of the face at the frames' own size", "lower", "px", undefined=NO_FACE)
    points, centred, size_px = ALL_POINTS, True, None


class NativeMouthLMD(LandmarkDistance):
    """The same for the 20 mouth points: RAD-NeRF's LMDMeter with region "mouth"."""

    info = MetricInfo(
        "lmd-native-mouth", "1", "LMD of the mouth at the frames' own size", "lower", "px", undefined=NO_FACE
    )
    points, centred, size_px = LIPS, True, None
