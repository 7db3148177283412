"""Facial landmark distance: distance of pose and expression from the reference, in pixels, and its variants."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, Settings
from emo_bench.metrics.detectors import (
    NO_FACE,
    Detector,
    FaceFinder,
    Landmarks68,
    detector_name,
    missing_detector,
    open_detector,
)
from emo_bench.metrics.metric import Metric, MetricInfo, Scores

SIZE_PX = 256
ALL_POINTS, LIPS = slice(0, 68), slice(48, 68)
OUTER_EYE_CORNERS = (36, 45)


class FaceMetric(Metric):
    """A metric of the faces that the scoring's detector finds in frame and reference.

    detector: a name of `DETECTORS`, "auto", or a detector object.
    """

    finds_faces = True

    @classmethod
    def missing(cls) -> str | None:
        return missing_detector()

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return what the scoring's landmark detector lacks on this machine."""
        return missing_detector(settings.detector)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.detector)

    def __init__(self, device: str = "cpu", detector: str | Detector = "auto") -> None:
        super().__init__(device)
        if isinstance(detector, str):
            self._finder = open_detector(detector_name(detector), device)
        else:
            self._finder = FaceFinder(detector)
        self.backend = self._finder.backend


class LandmarkDistance(FaceMetric):
    """Distances between the landmarks of frame and reference; a frame is NaN if either face is not found.

    A subclass chooses which `points` of iBUG's 68 it uses, whether each set is `centred` on its own mean, whether the
    distances are `summed` instead of averaged, and `size_px`, the length of the frame's longer side to which pixel
    distances are scaled (None: the frames' own size). Landmarks are detected at the frames' own size.
    """

    points: ClassVar[slice] = ALL_POINTS
    centred: ClassVar[bool] = False
    summed: ClassVar[bool] = False
    size_px: ClassVar[int | None] = SIZE_PX

    def score_batch(self, batch: Batch) -> Scores:
        theirs = self._finder.faces(batch, "reference")
        mine = self._finder.faces(batch, "frames")
        scale = 1.0 if self.size_px is None else self.size_px / max(batch.frames.shape[1:3])
        return np.array(
            [
                np.nan if x is None or y is None else self._of_pair(x.landmarks68, y.landmarks68, scale)
                for x, y in zip(mine, theirs, strict=True)
            ],
            dtype=np.float64,
        )

    def _of_pair(self, mine: Landmarks68, theirs: Landmarks68, scale: float) -> float:
        distances = np.linalg.norm(self._chosen(mine) - self._chosen(theirs), axis=1) * scale
        return float(distances.sum() if self.summed else distances.mean())

    def _chosen(self, landmarks: Landmarks68) -> NDArray[np.float64]:
        chosen = landmarks[self.points].astype(np.float64)
        return chosen - chosen.mean(axis=0) if self.centred else chosen


class FLMD(LandmarkDistance):
    """Mean distance of the 68 face landmarks in pixels of a frame scaled to 256 px; nothing is centred."""

    info = MetricInfo("flmd", "1", "Facial landmark distance, 68 points", "lower", "px at 256 px", undefined=NO_FACE)


class CentredFLMD(LandmarkDistance):
    """F-LMD of landmark sets centred on their means: independent of the face's position."""

    info = MetricInfo("flmd_centred", "1", "F-LMD, each face centred", "lower", "px at 256 px", undefined=NO_FACE)
    centred = True


class InterOcularFLMD(LandmarkDistance):
    """F-LMD divided by the distance between the reference's outer eye corners: independent of frame size and crop.

    The normalised mean error of face alignment (Sagonas et al. 2013, 300-W). NaN if both corners coincide.
    """

    info = MetricInfo(
        "flmd_iod", "1", "F-LMD over the inter-ocular distance", "lower", "inter-ocular distance", undefined=NO_FACE
    )
    size_px = None

    def _of_pair(self, mine: Landmarks68, theirs: Landmarks68, scale: float) -> float:
        first, second = theirs[list(OUTER_EYE_CORNERS)].astype(np.float64)
        between = float(np.linalg.norm(first - second))
        return super()._of_pair(mine, theirs, scale) / between if between else float("nan")


class AlignedFLMD(LandmarkDistance):
    """F-LMD after the similarity transform that brings the frame's landmarks nearest to the reference's.

    Translation, rotation in the picture and scale are removed by least squares (Procrustes analysis, Umeyama 1991,
    without reflection); what is left is the shape of the face as it is seen. NaN if all landmarks coincide.
    """

    info = MetricInfo(
        "flmd_aligned", "1", "F-LMD after Procrustes alignment", "lower", "px at 256 px", undefined=NO_FACE
    )

    def _of_pair(self, mine: Landmarks68, theirs: Landmarks68, scale: float) -> float:
        # A similarity of the plane is w = a z + b of complex numbers; centring gives b, least squares a.
        z, w = (points.astype(np.float64) @ (1, 1j) for points in (mine, theirs))
        z, w = z - z.mean(), w - w.mean()
        spread = np.vdot(z, z).real
        if not spread:
            return float("nan")
        return float(np.abs(np.vdot(z, w) / spread * z - w).mean() * scale)


class LipsLMD(LandmarkDistance):
    """LMD of Chen et al. 2018 (Lip Movements Generation at a Glance): 20 lip points, centred, mean."""

    info = MetricInfo(
        "lmd_lips", "1", "Landmark distance, 20 lip points, centred", "lower", "px at 256 px", undefined=NO_FACE
    )
    points, centred = LIPS, True


class SummedLipsLMD(LandmarkDistance):
    """LMD as ATVGnet's evaluation code computes it: 20 lip points, centred, summed; 20 times `LipsLMD`."""

    info = MetricInfo(
        "lmd_atvg",
        "1",
        "Landmark distance, 20 lip points, centred, summed",
        "lower",
        "px at 256 px, summed",
        undefined=NO_FACE,
    )
    points, centred, summed = LIPS, True, True
