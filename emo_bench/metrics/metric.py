"""What a metric is: the interface, what it says of itself, and the record that goes with its scores."""

from abc import ABC
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, FramesU8, Settings

Scores = NDArray[np.float64]
# Name of the backend of a column without numbers; its detail says why.
NO_BACKEND = "n/a"


@dataclass(frozen=True)
class MetricInfo:
    """The definition of a metric; a change that moves any number raises `version`.

    `direction` says which way is better. `fallback` is the metric that takes its place, under its own id,
    where this one's backend is missing. `value_range` is that of the pixels the formula sees. `takes_region`:
    it can be restricted to a region of the frame, and then divides by the region's area. `needs` says in words
    what it needs beside frames. Frames with a side below `least_px` are not given to it: they have no score.
    `undefined` says in words when else a frame has none.
    """

    id: str
    version: str
    title: str
    direction: Literal["higher", "lower"]
    unit: str
    needs_reference: bool = True
    value_range: str = "[0, 255]"
    averaging: str = "mean of per-frame scores"
    fallback: str | None = None
    takes_region: bool = False
    needs: str = ""
    least_px: int = 1
    undefined: str = ""


@dataclass(frozen=True)
class Backend:
    """What computed the numbers: weights with their SHA-256, or the software; `detail` adds a version."""

    name: str
    sha256: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Record:
    """What a reader must know before comparing two scores; scores whose records differ are not ranked.

    `frames_dropped` names the frames whose score is undefined; they are never imputed.
    """

    metric: str
    version: str
    direction: str
    unit: str
    backend: Backend
    resolution: str
    resize_filter: str
    region: str
    background: str
    value_range: str
    averaging: str
    frames_scored: int
    frames_dropped: tuple[int | str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, so that it goes into JSON and Parquet metadata."""
        return {**asdict(self), "frames_dropped": list(self.frames_dropped)}


class Metric(ABC):
    """Scores batches of frames; constructed as `Cls(device)`, which loads the backend once.

    A subclass sets `info`, implements `score` or `score_batch`, and, where it needs something, `missing`.
    Batches of one video come in order. The scores must not depend on how the frames are cut into batches.
    Metrics score a batch side by side in threads; one metric sees one batch at a time unless it says that it is
    `divisible`: heavy, each frame on its own, nothing shared and nothing kept. Then parts of a batch run side by side.
    """

    info: ClassVar[MetricInfo]
    divisible: ClassVar[bool] = False
    backend: Backend

    @classmethod
    def missing(cls) -> str | None:
        """Why the metric cannot run here and what to do about it, in one line; None when it can."""
        return None

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Like `missing` for one scoring: also what its settings lack, such as captions."""
        return cls.missing()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """The metric for one scoring; overridden by metrics that look at more than the device."""
        return cls(settings.device)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def score_batch(self, batch: Batch) -> Scores:
        """Score a batch: float64 [B], NaN = undefined. Overridden by metrics that share work or see neighbours."""
        return self.score(batch.frames, batch.reference)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        """uint8 [B,H,W,3] frames and reference (None when not needed) -> float64 [B], NaN = undefined."""
        return self.score_batch(Batch(frames, reference))

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        """One number of a video from its frames' scores, undefined ones left out: the mean."""
        defined = scores[~np.isnan(scores)]
        return float(defined.mean()) if len(defined) else float("nan")
