"""Lost faces: the share of the reference's faces that the detector does not find in the frames."""

from __future__ import annotations

import numpy as np

from emo_bench.metrics.batch import Batch
from emo_bench.metrics.flmd import FaceMetric
from emo_bench.metrics.metric import MetricInfo, Scores


class FaceLost(FaceMetric):
    """1 if the detector finds a face in the reference and none in the frame, 0 if it finds both.

    NaN if the reference has no face. The mean is the share of the faces that are lost, on which the landmark metrics
    have no score.
    """

    info = MetricInfo(
        "face_lost", "1", "Share of the faces that are lost", "lower", "1", undefined="the reference has no face"
    )

    def score_batch(self, batch: Batch) -> Scores:
        theirs, mine = (self._finder.faces(batch, side) for side in ("reference", "frames"))
        return np.array([np.nan if y is None else float(x is None) for x, y in zip(mine, theirs, strict=True)], float)
