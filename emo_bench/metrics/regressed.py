"""Distances of what a network regresses from a face, such as the coefficients of a 3DMM: AED and APD of the literature.

A network is opened once for all of its metrics, and a frame passes it once.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.metrics.batch import Batch, Settings, Side
from emo_bench.metrics.detectors import Face, FaceFinder, missing_detector
from emo_bench.metrics.flmd import FaceMetric
from emo_bench.metrics.memory import FrameMemory
from emo_bench.metrics.metric import Backend, Scores

Floats = NDArray[np.float64]


class Coefficients(NamedTuple):
    """What a network says of one face: ``expression`` ``[K]``, and ``pose_rad`` ``[3]``, the head's rotation."""

    expression: Floats
    pose_rad: Floats


class Regressor(Hashable, Protocol):
    """A network that regresses the coefficients of a face in a frame ``[H, W, 3]`` uint8 RGB."""

    backend: Backend

    def coefficients(self, frame_u8: NDArray[np.uint8], face: Face) -> Coefficients: ...


@functools.cache
def opened(network: Callable[[str], Regressor], device: str) -> Regressor:
    """Open a network once per process."""
    return network(device)


@functools.cache
def _memory(network: Regressor, finder: FaceFinder) -> FrameMemory[Coefficients]:
    return FrameMemory()


class RegressedDistance(FaceMetric):
    """A distance of the coefficients that a network gives for frame and reference; NaN if either face is not found.

    A subclass names the ``asset`` with the weights, the ``network`` that is opened with a device, and the ``detector``
    that finds the faces if it must be a certain one.
    """

    asset: ClassVar[str]
    network: ClassVar[Any]
    detector: ClassVar[str | None] = None

    @classmethod
    def missing(cls) -> str | None:
        return missing_detector(cls.detector or "auto") or assets.lacking(cls.asset)

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return that the weights are not here, or what the scoring's landmark detector lacks."""
        return cls.missing() or (None if cls.detector else missing_detector(settings.detector))

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, cls.detector or settings.detector)

    def __init__(self, device: str = "cpu", detector: str | None = None) -> None:
        super().__init__(device, detector or self.detector or "auto")
        self._network = opened(self.network, device)
        self._memory = _memory(self._network, self._finder)
        own = self._network.backend
        self.backend = Backend(own.name, own.sha256, f"{own.detail}, faces by {self._finder.backend.name}")

    def conditions(self) -> Mapping[str, str]:
        faces = self._finder.backend
        return {"faces": f"{faces.name}, SHA-256 {faces.sha256}" if faces.sha256 else faces.name}

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(self._of_side(batch, "frames"), self._of_side(batch, "reference"), strict=True)
        return np.array([np.nan if x is None or y is None else self._between(x, y) for x, y in pairs], np.float64)

    def _of_side(self, batch: Batch, side: Side) -> list[Coefficients | None]:
        faces = self._finder.faces(batch, side)

        def regressed(frame: NDArray[np.uint8], i: int) -> Coefficients | None:
            face = faces[i]
            return None if face is None else self._network.coefficients(frame, face)

        return self._memory.recall(batch, side, regressed)

    @abstractmethod
    def _between(self, mine: Coefficients, theirs: Coefficients) -> float:
        """Return the score of a frame."""


class ExpressionDistance(RegressedDistance):
    """AED: the mean of |difference| over the expression coefficients."""

    def _between(self, mine: Coefficients, theirs: Coefficients) -> float:
        return float(np.abs(mine.expression - theirs.expression).mean())


class PoseDistance(RegressedDistance):
    """APD: the mean of |difference| over the three numbers of the head's rotation, in radians."""

    def _between(self, mine: Coefficients, theirs: Coefficients) -> float:
        return float(np.abs(mine.pose_rad - theirs.pose_rad).mean())
