"""Scores of frames: each metric has an id, a version, a direction, a unit and a named backend."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emo_bench.metrics.batch import Batch, Captions, Settings
    from emo_bench.metrics.confidence import Interval, mean_interval
    from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Record
    from emo_bench.metrics.registry import MetricState, list_metrics
    from emo_bench.metrics.scoring import DEFAULT_METRICS, Scorer, score

_HOME = {
    "Batch": "batch",
    "Captions": "batch",
    "Settings": "batch",
    "Backend": "metric",
    "Metric": "metric",
    "MetricInfo": "metric",
    "Record": "metric",
    "DEFAULT_METRICS": "scoring",
    "Scorer": "scoring",
    "score": "scoring",
    "MetricState": "registry",
    "list_metrics": "registry",
    "Interval": "confidence",
    "mean_interval": "confidence",
}

__all__ = [
    "DEFAULT_METRICS",
    "Backend",
    "Batch",
    "Captions",
    "Interval",
    "Metric",
    "MetricInfo",
    "MetricState",
    "Record",
    "Scorer",
    "Settings",
    "list_metrics",
    "mean_interval",
    "score",
]


def __getattr__(name: str) -> Any:
    """Import torch and pandas only when something of theirs is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
