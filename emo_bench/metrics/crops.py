"""MS-SSIM and LPIPS of the mouth and of the eyes: the same square of frame and reference, found in the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, FramesU8, Settings, Unrounded
from emo_bench.metrics.detectors import (
    Detector,
    FaceFinder,
    Landmarks68,
    detector_name,
    missing_detector,
    open_detector,
)
from emo_bench.metrics.flmd import LIPS
from emo_bench.metrics.metric import Metric, MetricInfo, Scores
from emo_bench.metrics.perceptual import LPIPS, STLPIPS
from emo_bench.metrics.structural import MultiScaleSSIM
from emo_bench.system import opencv as cv2

EYES = slice(36, 48)
# The square's side, as a multiple of the longer side of the box of the points: lips and eyes with some skin around.
MARGIN = 1.4
# Crops are resized to this size, so that five scales of MS-SSIM fit and the size of the face does not matter.
CROP_PX = 192
LEAST_SIDE_PX = 8
UNDEFINED = f"no face was found in the reference, or the square is smaller than {LEAST_SIDE_PX} px or outside the frame"


class CropMetric(Metric):
    """Another metric, of a square around some landmarks of the reference; a subclass names both.

    detector: a name of `DETECTORS`, "auto", or a detector object.
    """

    whole: ClassVar[type[Metric]]
    points: ClassVar[slice]
    part: ClassVar[str]

    @classmethod
    def missing(cls) -> str | None:
        return cls.whole.missing() or missing_detector() or cv2.missing()

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return what the metric or the scoring's landmark detector lacks on this machine."""
        return cls.whole.missing() or missing_detector(settings.detector) or cv2.missing()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.detector)

    def __init__(self, device: str = "cpu", detector: str | Detector = "auto", metric: Metric | None = None) -> None:
        super().__init__(device)
        if isinstance(detector, str):
            self._finder = open_detector(detector_name(detector), device)
        else:
            self._finder = FaceFinder(detector)
        self._metric = metric or self.whole(device)
        self.backend = self._metric.backend

    def conditions(self) -> Mapping[str, str]:
        faces = self._finder.backend
        first, last = self.points.start, self.points.stop - 1
        return {
            "crop": f"{self.part}: a square {MARGIN:g} times as wide as the reference's points {first} to {last}, "
            f"resized to {CROP_PX} px",
            "faces": f"{faces.name}, SHA-256 {faces.sha256}" if faces.sha256 else faces.name,
        }

    def score_batch(self, batch: Batch) -> Scores:
        faces = self._finder.faces(batch, "reference")
        height, width = batch.frames.shape[1:3]
        boxes = [None if face is None else square(face.landmarks68[self.points], height, width) for face in faces]
        scores = np.full(len(batch), np.nan)
        seen = [i for i, box in enumerate(boxes) if box is not None]
        if seen:
            mine, theirs = (
                np.stack([_crop(frames[i], boxes[i]) for i in seen])
                for frames in (batch.levels("frames"), batch.levels("reference"))
            )
            crops = Batch(_rounded(mine), _rounded(theirs), unrounded=Unrounded(mine, theirs))
            scores[seen] = self._metric.score_batch(crops)
        return scores


def square(points: Landmarks68, height: int, width: int) -> tuple[int, int, int] | None:
    """Return a square around points ``[N, 2]`` px as (left, top, side) in whole pixels, moved into the frame.

    None if it is smaller than `LEAST_SIDE_PX`, or if the centre of the points is outside the frame.
    """
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    centre = (low + high) / 2.0
    side = min(round(MARGIN * float((high - low).max())), height, width)
    if side < LEAST_SIDE_PX or not (0 <= centre[0] < width and 0 <= centre[1] < height):
        return None
    left, top = (round(float(c) - side / 2.0) for c in centre)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def _crop(image: NDArray[Any], box: tuple[int, int, int] | None) -> NDArray[np.float32]:
    """Return the square at `CROP_PX`, float32: averaged if it becomes smaller, interpolated linearly if larger."""
    assert box is not None
    left, top, side = box
    part = np.ascontiguousarray(image[top : top + side, left : left + side]).astype(np.float32)
    how = cv2.INTER_AREA if side > CROP_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (CROP_PX, CROP_PX), interpolation=how), np.float32)


def _rounded(crops: NDArray[np.float32]) -> FramesU8:
    return np.clip(crops, 0, 255).round().astype(np.uint8)


def _info(whole: type[Metric], part: str, fallback: str | None = None) -> MetricInfo:
    return replace(
        whole.info,
        id=f"{whole.info.id}-{part}",
        title=f"{whole.info.title}, {'the mouth' if part == 'mouth' else 'the eyes'}",
        takes_region=False,
        least_px=LEAST_SIDE_PX,
        fallback=fallback,
        undefined=UNDEFINED,
    )


class MouthMSSSIM(CropMetric):
    """MS-SSIM of the mouth."""

    whole, points, part = MultiScaleSSIM, LIPS, "mouth"
    info = _info(whole, part)


class EyesMSSSIM(CropMetric):
    """MS-SSIM of the eyes."""

    whole, points, part = MultiScaleSSIM, EYES, "eyes"
    info = _info(whole, part)


class MouthLPIPS(CropMetric):
    """LPIPS of the mouth, with AlexNet."""

    whole, points, part = LPIPS, LIPS, "mouth"
    info = _info(whole, part, "st-lpips-mouth")


class EyesLPIPS(CropMetric):
    """LPIPS of the eyes, with AlexNet."""

    whole, points, part = LPIPS, EYES, "eyes"
    info = _info(whole, part, "st-lpips-eyes")


class MouthSTLPIPS(CropMetric):
    """Shift-tolerant LPIPS of the mouth, with AlexNet."""

    whole, points, part = STLPIPS, LIPS, "mouth"
    info = _info(whole, part)


class EyesSTLPIPS(CropMetric):
    """Shift-tolerant LPIPS of the eyes, with AlexNet."""

    whole, points, part = STLPIPS, EYES, "eyes"
    info = _info(whole, part)
