"""A metric's calls, watched: what it raises and what it returns is held to the interface."""

import re
from collections.abc import Mapping

import numpy as np

from emo_bench.errors import MethodError, shortened
from emo_bench.metrics.batch import Batch, Settings
from emo_bench.metrics.metric import Backend, Metric, Scores
from emo_bench.plug_ins.calls import kept_apart, plug_in_call

_HASH = re.compile(r"[0-9A-Za-z]{1,128}")


def missing_for(cls: type[Metric], settings: Settings | None, *, show_traceback: bool = True) -> str | None:
    """What a metric lacks here under these settings, or under any for None; see `plug_in_call` for what is raised.

    A MethodError also says that the metric gives something else than a line or None.
    """
    who = f"metric {cls.info.id}"
    with kept_apart(who), plug_in_call(who, "missing", show_traceback=show_traceback):
        missing: object = cls.missing() if settings is None else cls.missing_for(settings)
    if missing is None:
        return None
    if not isinstance(missing, str) or not missing.strip():
        raise MethodError(f"{who}: missing gives {missing!r}; it must give one line that says what is missing, or None")
    return shortened(" ".join(missing.split()), 400)


def open_metric(cls: type[Metric], settings: Settings, *, show_traceback: bool = True) -> Metric:
    """The metric, ready to score; see `plug_in_call` for what is raised.

    A MethodError also says that it is no metric, or that its backend is no `Backend`.
    """
    who = f"metric {cls.info.id}"
    with kept_apart(who), plug_in_call(who, "open", show_traceback=show_traceback):
        metric = cls.open(settings)
        backend = getattr(metric, "backend", None)
    if not isinstance(metric, Metric):
        raise MethodError(f"{who}: open gives {type(metric).__name__}; it must give the metric")
    if not isinstance(backend, Backend):
        raise MethodError(f"{who}: backend is {backend!r}; it must be an emo_bench.metrics.Backend")
    wrong = next((name for name in ("name", "detail") if not isinstance(getattr(backend, name), str)), None)
    if wrong or not backend.name:
        raise MethodError(f"{who}: backend.{wrong or 'name'} is {getattr(backend, wrong or 'name')!r}; it must be text")
    if not (backend.sha256 is None or (isinstance(backend.sha256, str) and _HASH.fullmatch(backend.sha256))):
        raise MethodError(f"{who}: backend.sha256 is {backend.sha256!r}; it must be hexadecimal digits, or None")
    return metric


def conditions_of(metric: Metric) -> dict[str, str]:
    """The metric's own facts for its record; a MethodError says that they are no text by name."""
    who = f"metric {metric.info.id}"
    with kept_apart(who), plug_in_call(who, "conditions"):
        found: object = metric.conditions()
    if not isinstance(found, Mapping) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise MethodError(f"{who}: conditions gives {shortened(repr(found))}; it must give a mapping of text to text")
    return dict(found)


def score_batch(metric: Metric, batch: Batch, *, show_traceback: bool = True) -> Scores:
    """The metric's scores of a batch, float64 [B]; any thread may call it.

    A metric that is not ours gets arrays that it cannot write, because other metrics score the same arrays. A
    MethodError says that the metric fails or gives something else than B real numbers.
    """
    if not _is_ours(metric):
        batch = batch.read_only()
    return raw_scores(metric, batch, show_traceback=show_traceback).astype(np.float64, copy=False)


def raw_scores(metric: Metric, batch: Batch, *, show_traceback: bool = True) -> np.ndarray:
    """As `score_batch`, in the type of number that the metric gives; the arrays are handed over as they are."""
    who = f"metric {metric.info.id}"
    with plug_in_call(who, "score_batch", show_traceback=show_traceback):
        scores = np.asarray(metric.score_batch(batch))
    if scores.shape != (len(batch),):
        raise MethodError(f"{who} gives scores of shape {scores.shape} for {len(batch)} frames, not one a frame")
    if scores.dtype.kind not in "fiu":
        raise MethodError(f"{who} gives scores of type {scores.dtype}; they must be real numbers, float64")
    return scores


def finished(metric: Metric, scores: Scores, *, show_traceback: bool = True) -> Scores:
    """The metric's scores of all frames after the last batch, float64 [N], from those of the batches.

    A MethodError says that the metric fails or gives something else than N real numbers.
    """
    who = f"metric {metric.info.id}"
    with kept_apart(who), plug_in_call(who, "finish", show_traceback=show_traceback):
        found = np.asarray(metric.finish(scores.copy()))
    if found.shape != scores.shape or found.dtype.kind not in "fiu":
        raise MethodError(
            f"{who}: finish gives {found.dtype} of shape {found.shape} for {len(scores)} frames; it must give one real "
            "number a frame"
        )
    return found.astype(np.float64, copy=False)


def aggregated(cls: type[Metric], scores: Scores, *, show_traceback: bool = True) -> float:
    """The metric's number of a video from its frames' scores; NaN where none is defined.

    A MethodError says that the metric fails or gives something else than a number.
    """
    who = f"metric {cls.info.id}"
    with kept_apart(who), plug_in_call(who, "aggregate", show_traceback=show_traceback):
        number: object = cls.aggregate(scores.copy())
    if isinstance(number, bool) or not isinstance(number, (int, float, np.integer, np.floating)):
        raise MethodError(f"{who}: aggregate gives {shortened(repr(number))}; it must give one number")
    return float(number)


def contributions(cls: type[Metric], scores: Scores) -> Scores:
    """One number for each frame, whose mean is `aggregated(cls, scores)`: what intervals and comparisons need.

    They are the scores themselves if the metric averages over frames. Otherwise they are the jackknife's pseudo-values
    (Tukey 1958; Efron and Stein 1981), moved so that their mean is exact: n times the number of the video minus (n - 1)
    times its number without the frame. NaN where the score is undefined; all infinite if the number is.
    """
    defined = np.flatnonzero(~np.isnan(scores))
    if cls.averages() or not len(defined):
        return scores
    whole = aggregated(cls, scores)
    found = np.full(len(scores), np.nan)
    found[defined] = whole
    if len(defined) < 2 or not np.isfinite(whole):
        return found
    who = f"metric {cls.info.id}"
    left_out = np.empty(len(defined))
    with kept_apart(who), plug_in_call(who, "aggregate"):
        for place, i in enumerate(defined):
            rest = scores.copy()
            rest[i] = np.nan
            left_out[place] = float(cls.aggregate(rest))
    if np.isfinite(left_out).all():
        found[defined] += (len(defined) - 1) * (left_out.mean() - left_out)
    return found


def _is_ours(metric: Metric) -> bool:
    """Whether the class of a metric is one of emo-bench; no package of others can take that name."""
    return type(metric).__module__.partition(".")[0] == __name__.partition(".")[0]
