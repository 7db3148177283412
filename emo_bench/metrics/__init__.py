"""Scores of frames: each metric has an id, a version, a direction, a unit and a named backend."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from emo_bench.metrics.batch import Batch, Captions, Settings
    from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Record
    from emo_bench.metrics.registry import MetricState, list_metrics
    from emo_bench.metrics.scoring import DEFAULT_METRICS, Scorer, score

__all__ = [
    "DEFAULT_METRICS",
    "Backend",
    "Batch",
    "Captions",
    "Metric",
    "MetricInfo",
    "MetricState",
    "Record",
    "Scorer",
    "Settings",
    "list_metrics",
    "score",
]

# Torch and pandas are imported only when a name that needs them is used.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batch": ["Batch", "Captions", "Settings"],
        "metric": ["Backend", "Metric", "MetricInfo", "Record"],
        "registry": ["MetricState", "list_metrics"],
        "scoring": ["DEFAULT_METRICS", "Scorer", "score"],
    },
)
