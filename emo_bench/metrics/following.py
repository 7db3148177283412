"""How well a clip follows the motion of its reference, measured over the whole clip: head, mouth and gaze.

These metrics need no true picture of the person: the reference may show another person, who drives the avatar.
"""

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, Settings
from emo_bench.metrics.detectors import Face, FaceFinder, detector_name, missing_detector, open_detector
from emo_bench.metrics.flmd import OUTER_EYE_CORNERS
from emo_bench.metrics.metric import Metric, MetricInfo, Scores
from emo_bench.tracking.head_rig import EXPRESSIONS

MEDIAPIPE = "mediapipe"
# Points of the inner lips, each of the upper one with the one below it, in iBUG's order.
INNER_LIPS = ((61, 67), (62, 66), (63, 65))
# A series with a smaller range stands still; numbers of this size are rounding.
STILL = 1e-9
LEAST_CORRELATED = 3

Values = NDArray[np.float64]


class _Following(Metric):
    """A metric of two series over time: what a subclass measures in the faces of the frames and of the reference.

    A frame counts if both faces are found. The scores are known only after the last batch, see `Metric.finish`.
    """

    # None is the scoring's detector.
    detector: ClassVar[str | None] = None

    @classmethod
    def missing(cls) -> str | None:
        return missing_detector(cls.detector or "auto")

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return what the detector of this metric lacks on this machine."""
        return missing_detector(cls.detector or settings.detector)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.detector)

    def __init__(self, device: str = "cpu", detector: str | FaceFinder = "auto") -> None:
        super().__init__(device)
        if isinstance(detector, str):
            detector = open_detector(self.detector or detector_name(detector), device)
        self._finder = detector
        self.backend = detector.backend
        self._pairs: list[tuple[Values, Values] | None] = []

    def score_batch(self, batch: Batch) -> Scores:
        """Keep what is measured in each pair of faces; the scores are undefined until `finish`."""
        faces = zip(self._finder.faces(batch, "frames"), self._finder.faces(batch, "reference"), strict=True)
        self._pairs += [None if x is None or y is None else (self._measured(x), self._measured(y)) for x, y in faces]
        return np.full(len(batch), np.nan)

    def finish(self, scores: Scores) -> Scores:
        found = np.full(len(scores), np.nan)
        seen = [i for i, pair in enumerate(self._pairs) if pair is not None]
        if seen:
            mine, theirs = (np.stack(series) for series in zip(*filter(None, self._pairs), strict=True))
            found[seen] = self._followed(mine, theirs)
        return found

    @abstractmethod
    def _measured(self, face: Face) -> Values:
        """Return what is measured in one face, an array of a fixed shape."""

    @abstractmethod
    def _followed(self, mine: Values, theirs: Values) -> Scores:
        """Return the scores ``[N]`` of N frames from both series ``[N, ...]``."""


class PoseChangeError(_Following):
    """Angle in degrees, 0 to 180, between the turns of both heads from their own mean pose in the clip.

    The turn of a head is the inverse of its mean rotation times its rotation, the mean being the chordal one over the
    frames with both faces (Hartley et al. 2013). A constant turn of either head does not count, and so it measures how
    well relative head motion is followed. The rotations are MediaPipe's head matrices, made orthogonal.
    """

    info = MetricInfo(
        "pose_change_error_deg",
        "1",
        "Head rotation error, each head from its own mean",
        "lower",
        "degrees",
        undefined="no face was found in the frame or in its reference, or in no other frame",
    )
    detector = MEDIAPIPE

    def _measured(self, face: Face) -> Values:
        assert face.matrix is not None
        return face.matrix[:3, :3].astype(np.float64)

    def _followed(self, mine: Values, theirs: Values) -> Scores:
        from scipy.spatial.transform import Rotation

        if len(mine) < 2:
            return np.full(len(mine), np.nan)
        turns = []
        for series in (mine, theirs):
            rotations = Rotation.from_matrix(series)
            turns.append(rotations.mean().inv() * rotations)
        return np.asarray(np.degrees((turns[0].inv() * turns[1]).magnitude()), np.float64)


class MouthCorrelation(_Following):
    """Pearson's correlation over time of the mouth's opening in the frames and in the reference, -1 to 1.

    The opening is the mean distance of three pairs of points on the inner lips over the distance of the outer eye
    corners. The score of a frame is the product of both standardised openings, so that the mean over frames is the
    correlation. It is 0 if the mouth of the frames stands still, and undefined if that of the reference does.
    """

    info = MetricInfo(
        "mouth_correlation",
        "1",
        "Correlation of mouth opening over time",
        "higher",
        "1",
        undefined=(
            "no face was found in the frame or in its reference, fewer than three frames have both, or the reference's "
            "mouth does not move"
        ),
    )

    def _measured(self, face: Face) -> Values:
        points = face.landmarks68.astype(np.float64)
        gaps = [np.linalg.norm(points[upper] - points[lower]) for upper, lower in INNER_LIPS]
        between = float(np.linalg.norm(points[OUTER_EYE_CORNERS[0]] - points[OUTER_EYE_CORNERS[1]]))
        # Eyes that coincide are no face; a mouth without a size counts as closed.
        return np.array([np.mean(gaps) / between if between else 0.0])

    def _followed(self, mine: Values, theirs: Values) -> Scores:
        return correlated(mine, theirs)


class GazeCorrelation(_Following):
    """Pearson's correlation over time of the direction of gaze in the frames and in the reference, -1 to 1.

    Gaze is read from the eight eyeLook coefficients of MediaPipe: to the left is the mean over both eyes of out minus
    in (left eye) and in minus out (right eye), upwards that of up minus down. The score of a frame is the mean over
    both axes of the product of the standardised values; an axis in which the reference's gaze stands still is left out.
    """

    info = MetricInfo(
        "gaze_correlation",
        "1",
        "Correlation of gaze over time",
        "higher",
        "1",
        undefined=(
            "no face was found in the frame or in its reference, fewer than three frames have both, or the reference's "
            "gaze does not move"
        ),
    )
    detector = MEDIAPIPE

    def _measured(self, face: Face) -> Values:
        assert face.expression is not None
        look = {name: float(face.expression[EXPRESSIONS.index(name)]) for name in EXPRESSIONS if "eyeLook" in name}
        to_left = look["eyeLookOutLeft"] - look["eyeLookInLeft"] + look["eyeLookInRight"] - look["eyeLookOutRight"]
        up = sum(look[f"eyeLookUp{side}"] - look[f"eyeLookDown{side}"] for side in ("Left", "Right"))
        return np.array([to_left / 2.0, up / 2.0])

    def _followed(self, mine: Values, theirs: Values) -> Scores:
        return correlated(mine, theirs)


def correlated(mine: Values, theirs: Values) -> Scores:
    """Return one number for each of N frames, whose mean is Pearson's correlation of two series ``[N, K]``.

    With several columns it is the mean of their correlations. A column in which ``theirs`` stands still is left out;
    one in which only ``mine`` does counts as 0. All are NaN if no column is left, or below three frames.
    """
    columns = [_products(mine[:, k], theirs[:, k]) for k in range(mine.shape[1]) if not _is_still(theirs[:, k])]
    if len(mine) < LEAST_CORRELATED or not columns:
        return np.full(len(mine), np.nan)
    return np.asarray(np.mean(columns, axis=0), np.float64)


def _products(mine: Values, theirs: Values) -> Values:
    if _is_still(mine):
        return np.zeros(len(mine))
    x, y = mine - mine.mean(), theirs - theirs.mean()
    return np.asarray(len(x) * x * y / (np.linalg.norm(x) * np.linalg.norm(y)))


def _is_still(series: Values) -> bool:
    return bool(np.ptp(series) <= STILL)
