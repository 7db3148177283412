"""Metrics as other projects' code computes them, for comparison with their tables (see conventions.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from emo_bench import __version__
from emo_bench.metrics.batch import FramesU8
from emo_bench.metrics.detectors import NO_FACE
from emo_bench.metrics.flmd import ALL_POINTS, LIPS, LandmarkDistance
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.metrics.perceptual import LPIPS, LPIPSVGG

EPSILON = 1e-8


class PSNRWithEpsilon(Metric):
    """20 log10(1 / (RMSE + 1e-8)) on [0, 1], as in PointAvatar's metrics.py: identical frames give 160 dB."""

    info = MetricInfo("psnr-eps", "1", "PSNR with epsilon (PointAvatar)", "higher", "dB", value_range="[0, 1]")
    backend = Backend("emo-bench", detail=__version__)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        assert reference is not None
        difference = (frames.astype(np.float64) - reference) / 255.0
        rmse = np.sqrt(np.square(difference).mean(axis=(1, 2, 3)))
        decibels: Scores = 20.0 * np.log10(1.0 / (rmse + EPSILON))
        return decibels


class _FedUnitRange(LPIPS):
    """LPIPS whose network receives inputs in [0, 1] instead of the [-1, 1] that it was trained on."""

    def _to_input(self, frames: FramesU8) -> torch.Tensor:
        return (super()._to_input(frames) + 1.0) / 2.0


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
    """Mean distance of the 68 landmarks in pixels of the frames' own size, not centred, as in Neural Head Avatars."""

    info = MetricInfo("flmd-native", "1", "F-LMD at the frames' own size", "lower", "px", undefined=NO_FACE)
    points, size_px = ALL_POINTS, None


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
