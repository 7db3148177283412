"""The metrics that there are: the built-in ones and those of installed plug-ins."""

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np

from emo_bench.errors import MethodError, UserError
from emo_bench.metrics.batch import Batch, Settings
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.plug_ins.calls import kept_apart, plug_in_call

ENTRY_POINT_GROUP = "emo_bench.metrics"
_BUILT_IN = {
    "psnr": "emo_bench.metrics.pixels:PSNR",
    "ssim": "emo_bench.metrics.structural:SSIM",
    "sd": "emo_bench.metrics.sharpness:SharpnessDifference",
    "psnr_global": "emo_bench.metrics.pixels:PSNRGlobal",
    "ms_ssim": "emo_bench.metrics.structural:MultiScaleSSIM",
    "sd_db": "emo_bench.metrics.sharpness:SharpnessDifferenceDecibels",
    "sd_global": "emo_bench.metrics.sharpness:GlobalSharpnessDifference",
    "lpips": "emo_bench.metrics.perceptual:LPIPS",
    "lpips-vgg": "emo_bench.metrics.perceptual:LPIPSVGG",
    "st-lpips": "emo_bench.metrics.perceptual:STLPIPS",
    "st-lpips-vgg": "emo_bench.metrics.perceptual:STLPIPSVGG",
    "flmd": "emo_bench.metrics.flmd:FLMD",
    "flmd_centred": "emo_bench.metrics.flmd:CentredFLMD",
    "flmd_iod": "emo_bench.metrics.flmd:InterOcularFLMD",
    "lmd_lips": "emo_bench.metrics.flmd:LipsLMD",
    "lmd_atvg": "emo_bench.metrics.flmd:SummedLipsLMD",
    "expression_error": "emo_bench.metrics.retracking:ExpressionError",
    "pose_error_deg": "emo_bench.metrics.retracking:PoseError",
    "identity_similarity": "emo_bench.metrics.identity:IdentitySimilarity",
    "brisque": "emo_bench.metrics.brisque:BRISQUE",
    "biq": "emo_bench.metrics.brisque:BIQ",
    "niqe": "emo_bench.metrics.niqe:NIQE",
    "clip_d": "emo_bench.metrics.clip:ClipDirection",
    "clip_dv": "emo_bench.metrics.clip:ClipDirectionOverTime",
    "clip_dv_in2n": "emo_bench.metrics.clip:ClipDirectionOverTimeIN2N",
    "clip_consistency": "emo_bench.metrics.clip:ClipConsistency",
    "clip_text": "emo_bench.metrics.clip:ClipText",
    "warping_error": "emo_bench.metrics.flow:WarpingError",
    "flicker": "emo_bench.metrics.flow:Flicker",
    "psnr-eps": "emo_bench.metrics.quirks:PSNRWithEpsilon",
    "lpips-01": "emo_bench.metrics.quirks:LPIPSFedUnitRange",
    "lpips-vgg-01": "emo_bench.metrics.quirks:LPIPSVGGFedUnitRange",
    "flmd-native": "emo_bench.metrics.quirks:NativeFLMD",
    "lmd-native": "emo_bench.metrics.quirks:NativeLMD",
    "lmd-native-mouth": "emo_bench.metrics.quirks:NativeMouthLMD",
}


@dataclass(frozen=True)
class MetricState:
    """A metric and whether it can run here: `missing` is None, or one line with the remedy.

    `backend` is what would compute it, and None where it is missing or was not asked for.
    """

    info: MetricInfo
    missing: str | None
    backend: Backend | None = None


def list_metrics(with_backends: bool = False) -> list[MetricState]:
    """Every known metric in a fixed order: built-in first, then plug-ins by name.

    with_backends: also open each metric that can run here, to say what would compute it; takes some seconds.
    """
    states = []
    for cls in map(metric_class, _places()):
        missing = missing_for(cls, None)
        opened = open_metric(cls, Settings()) if with_backends and missing is None else None
        states.append(MetricState(cls.info, missing, opened.backend if opened else None))
    return states


@functools.cache
def metric_class(name: str) -> type[Metric]:
    """The class of a metric id; a UserError lists the known ids."""
    places = _places()
    if name not in places:
        raise UserError(f"unknown metric {name!r}; known: {', '.join(places)}")
    module, _, attribute = places[name].partition(":")
    with kept_apart(f"metric {name}"), plug_in_call(f"metric {name}", "import"):
        found = getattr(importlib.import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Metric)):
        raise UserError(f"metric {name!r}: {places[name]} is not a subclass of emo_bench.metrics.Metric")
    if found.info.id != name:
        raise UserError(f"metric {name!r}: {places[name]} calls itself {found.info.id!r}")
    return found


def missing_for(cls: type[Metric], settings: Settings | None) -> str | None:
    """What a metric lacks here under these settings, or under any for None; see `plug_in_call` for what is raised."""
    who = f"metric {cls.info.id}"
    with kept_apart(who), plug_in_call(who, "missing"):
        return cls.missing() if settings is None else cls.missing_for(settings)


def open_metric(cls: type[Metric], settings: Settings) -> Metric:
    """The metric, ready to score; see `plug_in_call` for what is raised."""
    who = f"metric {cls.info.id}"
    with kept_apart(who), plug_in_call(who, "open"):
        return cls.open(settings)


def score_batch(metric: Metric, batch: Batch) -> Scores:
    """The metric's scores of a batch, float64 [B]; any thread may call it.

    A MethodError says that the metric fails or gives something else.
    """
    who = f"metric {metric.info.id}"
    with plug_in_call(who, "score_batch"):
        scores = np.asarray(metric.score_batch(batch), dtype=np.float64)
    if scores.shape != (len(batch),):
        raise MethodError(f"{who} gives scores of shape {scores.shape} for {len(batch)} frames, not one a frame")
    return scores


def _places() -> Mapping[str, str]:
    plug_ins = {
        entry.name: entry.value for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    }
    return {**_BUILT_IN, **{name: place for name, place in plug_ins.items() if name not in _BUILT_IN}}
