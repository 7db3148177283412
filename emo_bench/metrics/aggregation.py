"""The score of a video from the scores of its frames, by the metric's record; most metrics average, some do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics import watched
from emo_bench.metrics.metric import MEAN, NO_BACKEND, Metric, Scores
from emo_bench.metrics.registry import scored_class

if TYPE_CHECKING:
    import pandas

# The words for a mean over frames in the records of metrics, see ``MetricInfo.averaging``.
MEANS = (MEAN, "mean over neighbouring pairs")


def video_score(record: Mapping[str, Any], scores: Scores) -> float:
    """Return the score of a video; NaN if no frame has a score, or if the metric's own rule is not known here.

    Args:
        record: the metric's record, see :func:`unknown_rule`.
        scores: ``[N]``, one for each frame; NaN is left out.
    """
    cls = _class_of(record)
    if cls is not None:
        return watched.aggregated(cls, scores)
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if averages(record) and len(defined) else float("nan")


def contributions(record: Mapping[str, Any], scores: Scores) -> Scores:
    """Return one number for each frame, whose mean is :func:`video_score`; see ``watched.contributions``.

    All are NaN if the metric's own rule is not known here.
    """
    cls = _class_of(record)
    if cls is not None:
        return watched.contributions(cls, scores)
    return scores if averages(record) else np.full(len(scores), np.nan)


def unknown_rule(record: Mapping[str, Any]) -> str | None:
    """Why the score of a video cannot be computed here; None if it can, as for every mean over frames."""
    if averages(record) or _class_of(record) is not None:
        return None
    return (
        f"its score of a video is no mean over frames ({record['averaging']}), and this metric is not here: install it"
    )


def no_score(record: Mapping[str, Any], scores: Scores) -> str:
    """Why a video has no score although it was asked for, in words; empty if it has one."""
    backend = record["backend"]
    if backend["name"] == NO_BACKEND:
        return str(backend["detail"]) or "it cannot run here"
    if np.isnan(scores).all():
        return str(record["undefined"] if "undefined" in record else _undefined_of(record)) or "no frame has a score"
    if unknown_rule(record) is not None:
        return "" if "video_score" in record else str(unknown_rule(record))
    return "" if not np.isnan(video_score(record, scores)) else "its score is not a number"


def video_scores(table: pandas.DataFrame) -> dict[str, float]:
    """Return the score of the video by metric id, for a table of ``Scorer.table``; NaN where there is none."""
    records = table.attrs["records"]
    found = {name: video_score(record, table[name].to_numpy(dtype=np.float64)) for name, record in records.items()}
    stored = {name: records[name].get("video_score", math.nan) for name in found if unknown_rule(records[name])}
    return {**found, **stored}


def reasons(table: pandas.DataFrame) -> dict[str, str]:
    """Return by metric id why the video has no score, for the metrics without one."""
    found = {
        name: no_score(record, table[name].to_numpy(dtype=np.float64))
        for name, record in table.attrs["records"].items()
    }
    return {name: reason for name, reason in found.items() if reason}


def is_mean(record: Mapping[str, Any]) -> bool:
    """Whether the score of a video is the mean over its frames."""
    cls = _class_of(record)
    return averages(record) if cls is None else cls.averages()


def _undefined_of(record: Mapping[str, Any]) -> str:
    """When a metric has no score, in words, for the record of an older version that does not say it."""
    try:
        info = scored_class(record["metric"]).info
    except UserError:
        return ""
    return info.undefined if info.version == record["version"] else ""


def averages(record: Mapping[str, Any]) -> bool:
    """Whether a metric's record says that the score of a video is a mean; no metric's own class is asked then."""
    return record["averaging"] in MEANS


def _class_of(record: Mapping[str, Any]) -> type[Metric] | None:
    """Return the class of a metric that does not average; None for a mean, or if it is not the class that scored."""
    if averages(record):
        return None
    try:
        cls = scored_class(record["metric"])
    except UserError:
        return None
    return cls if cls.file_sha256 == record.get("file_sha256") else None
