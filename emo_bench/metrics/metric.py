"""The interface of a metric, its description, and the record that is stored with its scores."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, FramesU8, Settings

Scores = NDArray[np.float64]
Direction = Literal["higher", "lower"]
# Name of the backend of a column without scores; its detail gives the reason.
NO_BACKEND = "n/a"
MEAN = "mean of per-frame scores"
OWN_AVERAGING = "the metric's own"
CaptionName = Literal["source", "target"]


@dataclass(frozen=True)
class MetricInfo:
    """The definition of a metric; a change that alters any score must increase `version`.

    `direction` says which way is better. `fallback` is the metric that replaces this one, under its own id, if this
    one's backend is missing. `value_range` is the range of the pixel values in the formula. `takes_region`: the metric
    can be restricted to a region of the frame, and then divides by the region's area. `needs` says in words what it
    needs besides frames. Frames with a side below `least_px` are not given to it and have no score. `undefined` says in
    words in which other cases a frame has no score. `optional_reference`: the metric needs no reference, and uses one
    if there is one. `captions` names the captions of the edit that change the scores.
    """

    id: str
    version: str
    title: str
    direction: Direction
    unit: str
    needs_reference: bool = True
    value_range: str = "[0, 255]"
    averaging: str = MEAN
    fallback: str | None = None
    takes_region: bool = False
    needs: str = ""
    least_px: int = 1
    undefined: str = ""
    optional_reference: bool = False
    captions: tuple[CaptionName, ...] = ()


@dataclass(frozen=True)
class Backend:
    """The software or weights (with their SHA-256) that computed the scores; `detail` adds a version."""

    name: str
    sha256: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Record:
    """Everything that must be equal before two scores are compared; scores whose records differ are not ranked.

    `frames_dropped` names the frames whose score is undefined; such scores are never imputed, and `undefined` says in
    words when that happens. `frames` is the selection of frames (see `inputs.selection`). `reference_sha256`,
    `masks_sha256` and `captions` identify what the metric used besides the frames; they are None or empty if it used
    none. `conditions` holds the metric's own facts, see `Metric.conditions`. `file_sha256` is the SHA-256 of the Python
    file that holds the metric, if the user named a file; `as_dict` leaves it out otherwise. `video_score` is the
    number of the whole video if the metric does not average over frames; `as_dict` leaves it out otherwise.
    `instead_of` is the metric that was asked for, if this one is its fallback; `as_dict` leaves it out otherwise.
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
    file_sha256: str | None = None
    frames: str = ""
    reference_sha256: str | None = None
    masks_sha256: str | None = None
    captions: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    undefined: str = ""
    instead_of: str | None = None
    video_score: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain types only, which JSON and Parquet metadata can hold."""
        plain = {**asdict(self), "frames_dropped": list(self.frames_dropped)}
        for name in ("file_sha256", "video_score", "instead_of"):
            if plain[name] is None:
                del plain[name]
        return plain


class Metric(ABC):
    """Scores batches of frames; `Cls(device)` constructs the metric and loads its backend once.

    A subclass sets `info`, implements `score` or `score_batch`, and, if it needs anything, `missing`. Batches of one
    video come in order. The scores must not depend on how the frames are divided into batches. Several metrics score a
    batch in parallel threads. One metric receives one batch at a time, unless it declares itself `divisible`: it is
    slow, scores each frame independently, and neither shares nor stores results. Then parts of a batch are scored in
    parallel.
    """

    info: ClassVar[MetricInfo]
    divisible: ClassVar[bool] = False
    finds_faces: ClassVar[bool] = False
    """Whether its work on a reference frame is to find a face, which is kept for later scorings of the same frame."""
    file_sha256: ClassVar[str | None] = None
    """SHA-256 of the file of a metric that is named as ``path/to/file.py:Class``; set when the file is loaded."""
    backend: Backend

    @classmethod
    def missing(cls) -> str | None:
        """Return in one line why the metric cannot run here and what to do about it; None if it can run."""
        return None

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return the same as `missing`, and also what the settings of this scoring lack, such as captions."""
        return cls.missing()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Construct the metric for one scoring; metrics that use more settings than the device override this."""
        return cls(settings.device)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def conditions(self) -> Mapping[str, str]:
        """Return further facts that change the scores, such as ``{"flow": "of the reference"}``, after the last batch.

        They go into the record, and scores are ranked together only if these facts are equal.
        """
        return {}

    def score_batch(self, batch: Batch) -> Scores:
        """Score a batch: float64 [B], NaN = undefined. Metrics that share results or need neighbours override it."""
        return self.score(batch.frames, batch.reference)

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        """Score frames and reference, uint8 [B,H,W,3] (reference None if not needed): float64 [B], NaN = undefined."""
        return self.score_batch(Batch(frames, reference))

    def finish(self, scores: Scores) -> Scores:
        """Return the scores of all frames, float64 [N], after the last batch.

        A metric overrides it if the score of a frame depends on the whole video, as a correlation over time does. It
        then collects what it needs in `score_batch`, whose results it replaces here. It may be called several times.
        """
        return scores

    @classmethod
    def aggregate(cls, scores: Scores) -> float:
        """Return one number for a video: the mean of its frames' scores without the undefined ones."""
        defined = scores[~np.isnan(scores)]
        return float(defined.mean()) if len(defined) else float("nan")

    @classmethod
    def averages(cls) -> bool:
        """Return whether the score of a video is the mean over its frames: `aggregate` is not overridden."""
        return cls.aggregate.__func__ is Metric.aggregate.__func__  # type: ignore[attr-defined]
