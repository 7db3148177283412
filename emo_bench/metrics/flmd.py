"""Facial landmark distance: how far pose and expression are from the reference, in pixels."""

import hashlib
from collections import OrderedDict
from importlib.metadata import version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.metrics.batch import FramesU8
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores

SIZE_PX = 256
REMEMBERED_FRAMES = 4096

Landmarks68 = NDArray[np.float32]


class _Detection(Protocol):
    @property
    def landmarks68(self) -> Landmarks68: ...


class _Detector(Protocol):
    def detect(self, frame_u8: NDArray[np.uint8]) -> _Detection | None: ...


# Landmarks of frames seen lately, by content: a reference frame is looked at once for all methods in a process.
_remembered: OrderedDict[bytes, Landmarks68 | None] = OrderedDict()


class FLMD(Metric):
    """Mean distance of the 68 face landmarks in pixels of a frame scaled to 256 px; nothing is centred.

    Landmarks are detected at the frames' own size and scaled (the longer side becomes 256 px). Detector:
    MediaPipe's 478 points mapped to 68. A frame where either face is not found is NaN.
    """

    info = MetricInfo("flmd", "1", "Facial landmark distance, 68 points", "lower", "px at 256 px")

    @classmethod
    def missing(cls) -> str | None:
        if assets.locate("face-landmarker") is None:
            return f"needs asset face-landmarker; run: {assets.find_asset('face-landmarker').remedy()}"
        return None

    def __init__(self, device: str = "cpu", detector: _Detector | None = None) -> None:
        super().__init__(device)
        self._remembered: OrderedDict[bytes, Landmarks68 | None] = OrderedDict()
        if detector is not None:
            self._detector = detector
            self.backend = Backend(type(detector).__name__)
            return
        from emo_bench.tracking.landmarks import Landmarker

        self._remembered = _remembered
        self._detector = Landmarker(static=True)
        model = assets.require("face-landmarker")
        self.backend = Backend("mediapipe-478-to-68", model.sha256, f"mediapipe {version('mediapipe')}")

    def score(self, frames: FramesU8, reference: FramesU8 | None) -> Scores:
        assert reference is not None
        scale = SIZE_PX / max(frames.shape[1:3])
        return np.array([self._of_pair(x, y) * scale for x, y in zip(frames, reference, strict=True)])

    def _of_pair(self, frame: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
        theirs = self._landmarks(reference)
        mine = self._landmarks(frame) if theirs is not None else None
        if mine is None or theirs is None:
            return np.nan
        return float(np.linalg.norm(mine.astype(np.float64) - theirs, axis=1).mean())

    def _landmarks(self, frame: NDArray[np.uint8]) -> Landmarks68 | None:
        frame = np.ascontiguousarray(frame)
        key = hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).digest()
        if key not in self._remembered:
            found = self._detector.detect(frame)
            self._remembered[key] = None if found is None else found.landmarks68
            if len(self._remembered) > REMEMBERED_FRAMES:
                self._remembered.popitem(last=False)
        return self._remembered[key]
