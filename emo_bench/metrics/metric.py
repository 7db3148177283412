"""What a metric is: the interface, what it says of itself, and the record that goes with its scores."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

FramesU8 = NDArray[np.uint8]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class MetricInfo:
    """The definition of a metric; a change that moves any number raises `version`.

    `direction` says which way is better. `fallback` is the metric that takes its place, under its own id,
    where this one's backend is missing. `value_range` is that of the pixels the formula sees.
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

    A subclass sets `info` and, where it needs something, `missing`. It must not depend on how the frames
    are cut into batches.
    """

    info: ClassVar[MetricInfo]
    backend: Backend

    @classmethod
    def missing(cls) -> str | None:
        """Why the metric cannot run here and what to do about it, in one line; None when it can."""
        return None

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    @abstractmethod
    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        """uint8 [B,H,W,3] frames and reference (None when not needed) -> float64 [B], NaN = undefined."""
