"""The scorer of a run: some metrics compare with the recorded frames, others with the true pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.metrics import Scorer, Settings
from emo_bench.metrics.kept import KeptResults
from emo_bench.runs.store import RENDER
from emo_bench.runs.truth import NO_TRUTH, Pictures, Truth
from emo_bench.video.lossless import read_lossless
from emo_bench.video.writing import FrameU8
from protocols import Protocol

if TYPE_CHECKING:
    import pandas

SCORE_BATCH = 16


@dataclass(frozen=True)
class FrameBatch:
    """Some frames of a run, in order.

    Attributes:
        numbers: their numbers in the video of the person whose motion they show.
        rendered: what the method rendered, uint8 ``[S, S, 3]`` each.
        recorded: the frames that they are compared with: the recorded ones, those of the driver if there is one, or
            those of other cameras.
        true: the true pictures of a driven subject; None without any.
    """

    numbers: Sequence[int]
    rendered: list[FrameU8]
    recorded: list[FrameU8]
    true: list[FrameU8] | None = None


class RunScorer:
    """Scores batches of a run's frames.

    Args:
        protocol: its metrics, background and filter.
        settings: device, CLIP model, captions; the frame rate is that of ``capture``.
        resolution_px: side of the rendered frames.
        capture: the recorded frames.
        truth: the true pictures of a driven subject; metrics of truth have no score without them.
        kept: where results of the recorded and the true frames are kept; None uses none.
    """

    def __init__(
        self,
        protocol: Protocol,
        settings: Settings,
        resolution_px: int,
        capture: Capture,
        truth: Truth = NO_TRUTH,
        kept: KeptResults | None = None,
    ) -> None:
        scoring = protocol.scoring
        self._recorded = open_scorer(protocol, settings, resolution_px, capture, scoring.metrics, kept)
        self._true = None
        if scoring.truth_metrics:
            self._true = open_scorer(
                protocol, settings, resolution_px, capture, scoring.truth_metrics, kept, unavailable=truth.reason
            )

    def add(self, batch: FrameBatch) -> None:
        """Score a batch; batches come in the video's order."""
        rendered, numbers = np.stack(batch.rendered), batch.numbers
        self._recorded.add(rendered, np.stack(batch.recorded), numbers)
        if self._true is not None:
            self._true.add(rendered, None if batch.true is None else np.stack(batch.true), numbers)

    def table(self) -> pandas.DataFrame:
        """Return the scores and records of all metrics, as ``Scorer.table`` does; those of the truth come first."""
        recorded = self._recorded.table()
        if self._true is None:
            return recorded
        true = self._true.table()
        records = true.attrs.pop("records") | recorded.attrs.pop("records")
        table = true.join(recorded)
        table.attrs["records"] = records
        return table


def open_scorer(
    protocol: Protocol,
    settings: Settings,
    resolution_px: int,
    capture: Capture,
    metrics: Sequence[str],
    kept: KeptResults | None = None,
    *,
    unavailable: str = "",
) -> Scorer:
    """Return a scorer of some metrics under a protocol.

    Args:
        protocol: its background and filter.
        settings: device, CLIP model, captions; the frame rate is that of ``capture``.
        resolution_px: side of the rendered frames.
        capture: the recorded frames.
        metrics: the ids of the metrics.
        kept: where results of the reference frames are kept; None uses none, so that everything is computed again.
        unavailable: why there is nothing to compare with, so that no frame has a score; empty if there is.
    """
    enlarged = resolution_px > capture.size_px
    return Scorer(
        metrics,
        settings=replace(settings, fps=capture.fps),
        resize_filter="bicubic, enlarged" if enlarged else protocol.scoring.reference_resize,
        background=protocol.scoring.background,
        kept=kept,
        unavailable=unavailable,
    )


def frame_batches(
    folder: Path, compared: Pictures, test: Sequence[int], size_px: int, truth: Truth = NO_TRUTH
) -> Iterator[FrameBatch]:
    """Yield the held-out frames of a run in batches: the rendered, the recorded and the true ones."""
    rendered = read_lossless(folder / RENDER)
    recorded = compared.frames(test, size=size_px)
    true = None if truth.pictures is None else truth.pictures.frames(test, size=size_px)
    for start in range(0, len(test), SCORE_BATCH):
        numbers = test[start : start + SCORE_BATCH]
        ours, theirs = (list(islice(frames, len(numbers))) for frames in (rendered, recorded))
        yield FrameBatch(numbers, ours, theirs, None if true is None else list(islice(true, len(numbers))))
