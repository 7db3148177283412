"""Differences of sharpness: three interpretations of the gradients of Mathieu et al. 2016.

G(y,x) = |I(y,x) - I(y-1,x)| + |I(y,x) - I(y,x-1)| in 8-bit levels, for y, x >= 1, for each channel. All three depend on
the resolution.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores

PEAK = 255.0


class SharpnessDifference(Metric):
    """Mean absolute difference of gradient sums |dx|+|dy| in 8-bit units over RGB and interior pixels.

    The gradients are those of Mathieu et al. 2016, section 3.1. Taking the mean instead of their logarithm agrees with
    Emo-Avatar's Table 1 (docs/metrics.md). The value depends on the resolution. With a region, the mean is computed
    over its interior pixels (row and column 0 of the frame have no gradient); NaN if there is none.
    """

    info = MetricInfo(
        "sd", "1", "Sharpness difference", "lower", "8-bit levels", takes_region=True, undefined="the region is empty"
    )
    backend = Backend("emo-bench", detail=__version__)

    def score_batch(self, batch: Batch) -> Scores:
        return _sharpness(batch).difference


class SharpnessDifferenceDecibels(Metric):
    """10 log10(255^2 / sd), as in Mathieu et al. 2016, section 3.1; infinite for equal gradients."""

    info = replace(
        SharpnessDifference.info, id="sd_db", title="Sharpness difference, Mathieu's dB", direction="higher", unit="dB"
    )
    backend = SharpnessDifference.backend

    def score_batch(self, batch: Batch) -> Scores:
        with np.errstate(divide="ignore"):
            scores: Scores = 10.0 * np.log10(PEAK**2 / _sharpness(batch).difference)
        return scores


class GlobalSharpnessDifference(Metric):
    """|mean gradient sum of the frame - that of the reference|: sensitive to blur, not to misalignment."""

    info = replace(SharpnessDifference.info, id="sd_global", title="Difference of mean sharpness")
    backend = SharpnessDifference.backend

    def score_batch(self, batch: Batch) -> Scores:
        return np.abs(_sharpness(batch).excess)


@dataclass(frozen=True)
class _Sharpness:
    """Compute, for B frames, mean |G(frame) - G(reference)| and mean G(frame) - mean G(reference); NaN = no pixel."""

    difference: Scores
    excess: Scores


def _sharpness(batch: Batch) -> _Sharpness:
    return batch.once("sharpness", lambda: _measured(batch))


def _measured(batch: Batch) -> _Sharpness:
    pairs = zip(batch.frames, batch.side("reference"), strict=True)
    if min(batch.frames.shape[1:3]) < 2:
        undefined = np.full(len(batch), np.nan)
        return _Sharpness(undefined, undefined)
    masks = None if batch.region is None else batch.region[:, 1:, 1:]
    sums = np.empty((len(batch), 3))
    counts = np.empty(len(batch))
    for i, (frame, reference) in enumerate(pairs):
        mine, theirs = _gradient_sums(frame), _gradient_sums(reference)
        if masks is not None:
            mine, theirs = mine[masks[i]], theirs[masks[i]]
        sums[i] = [part.sum(dtype=np.uint64) for part in (_apart(mine, theirs), mine, theirs)]
        counts[i] = mine.size
    means = np.divide(sums, counts[:, None], out=np.full_like(sums, np.nan), where=counts[:, None] > 0)
    return _Sharpness(means[:, 0], means[:, 1] - means[:, 2])


def _gradient_sums(frame: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Compute G: uint8 [H,W,3] -> uint16 [H-1,W-1,3] in [0, 510]."""
    here = frame[1:, 1:]
    return np.add(_apart(here, frame[:-1, 1:]), _apart(here, frame[1:, :-1]), dtype=np.uint16)


def _apart(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Compute |a - b| of unsigned numbers."""
    return np.maximum(a, b) - np.minimum(a, b)
