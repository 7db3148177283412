"""Expression and head pose, tracked again in the rendered frames and compared with the reference's."""

from abc import abstractmethod

import numpy as np

from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import NO_FACE, Face, missing_detector, open_detector
from emo_bench.metrics.metric import Metric, MetricInfo, Scores

DETECTOR = "mediapipe"


class _Retracking(Metric):
    """A distance between MediaPipe's results for frame and reference; NaN if either face is not found."""

    finds_faces = True

    @classmethod
    def missing(cls) -> str | None:
        return missing_detector(DETECTOR)

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._finder = open_detector(DETECTOR, device)
        self.backend = self._finder.backend

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(self._finder.faces(batch, "frames"), self._finder.faces(batch, "reference"), strict=True)
        return np.array([np.nan if x is None or y is None else self._of_pair(x, y) for x, y in pairs], float)

    @abstractmethod
    def _of_pair(self, mine: Face, theirs: Face) -> float: ...


class ExpressionError(_Retracking):
    """Mean absolute difference of the 52 blendshape coefficients, each in [0, 1].

    This is the average expression distance of the literature, with ARKit's coefficients instead of a 3DMM's. MediaPipe
    has no tongueOut: that coefficient is always equal.
    """

    info = MetricInfo(
        "expression_error", "1", "Difference of 52 expression coefficients", "lower", "1", undefined=NO_FACE
    )

    def _of_pair(self, mine: Face, theirs: Face) -> float:
        assert mine.expression is not None and theirs.expression is not None
        return float(np.abs(mine.expression.astype(np.float64) - theirs.expression).mean())


class HeadAngles(_Retracking):
    """Mean of |difference| over the three rotations of the head around x, y and z, in radians.

    This is the formula of the literature's average pose distance (APD), with MediaPipe's head matrix instead of the
    angles that Deep3DFaceRecon regresses; the head turns around x first, then y, then z, as there.
    """

    info = MetricInfo("apd_mediapipe", "1", "APD: three head angles", "lower", "radians", undefined=NO_FACE)

    def _of_pair(self, mine: Face, theirs: Face) -> float:
        from scipy.spatial.transform import Rotation

        assert mine.matrix is not None and theirs.matrix is not None
        matrices = np.stack([mine.matrix, theirs.matrix])[:, :3, :3].astype(np.float64)
        turned = np.subtract(*Rotation.from_matrix(matrices).as_euler("xyz"))
        # A full turn is no difference.
        return float(np.abs((turned + np.pi) % (2 * np.pi) - np.pi).mean())


class PoseError(_Retracking):
    """Angle in degrees, 0 to 180, of the rotation from the reference's head pose to the frame's.

    Geodesic distance on SO(3) (Huynh 2009, Phi 6) between MediaPipe's head matrices, which are made orthogonal first.
    """

    info = MetricInfo("pose_error_deg", "1", "Head rotation error", "lower", "degrees", undefined=NO_FACE)

    def _of_pair(self, mine: Face, theirs: Face) -> float:
        from scipy.spatial.transform import Rotation

        assert mine.matrix is not None and theirs.matrix is not None
        matrices = np.stack([mine.matrix, theirs.matrix])[:, :3, :3].astype(np.float64)
        one, other = Rotation.from_matrix(matrices)
        return float(np.degrees((one * other.inv()).magnitude()))
