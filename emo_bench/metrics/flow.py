"""Temporal consistency along the reference's motion: warping error and flicker, by optical flow.

The flow is OpenCV's DIS (Kroeger et al. 2016). A pixel is scored if it was visible in the previous frame: forward and
backward flow agree there, it is not on a motion boundary (the two tests of Ruder, Dosovitskiy and Brox 2016, after
Sundaram et al. 2010), and its previous position is inside the frame.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch, Side
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.system import opencv as cv2

PEAK = 255.0
SMALLEST_PX = 16  # OpenCV's flow crashes the process on frames with a side of 8 to 15 px, such as 8x40


@dataclass(frozen=True)
class _Motion:
    """Motion from the previous frame: each pixel's old position, float32 [H,W] in pixels, and its visibility."""

    columns: NDArray[np.float32]
    rows: NDArray[np.float32]
    visible: NDArray[np.bool_]

    def carried(self, before: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the previous frame, warped to this one: float32 [H,W,3] in 8-bit levels."""
        return _sampled(before.astype(np.float32), self.columns, self.rows)


class _AlongMotion(Metric):
    """Compares each frame with the previous one; NaN for a video's first frame and for one without a visible pixel."""

    @classmethod
    def missing(cls) -> str | None:
        return cv2.missing()

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self.backend = Backend("opencv-dis", detail=f"OpenCV {cv2.__version__}, medium preset")
        self._detail = self.backend.detail

    def score_batch(self, batch: Batch) -> Scores:
        scores = np.full(len(batch), np.nan)
        motions = _motions(batch)
        for i, motion in enumerate(motions):
            if motion is None:
                continue
            counted = motion.visible if batch.region is None else motion.visible & batch.region[i]
            if counted.any():
                total = cv2.norm(self._change(batch, i, motion), cv2.NORM_L2SQR, counted.astype(np.uint8))
                scores[i] = self._of_mean_square(total / np.count_nonzero(counted))
        return scores

    @abstractmethod
    def _change(self, batch: Batch, i: int, motion: _Motion) -> NDArray[np.float32]:
        """Return the change measured at each pixel: float32 [H,W,3] in 8-bit levels."""

    @abstractmethod
    def _of_mean_square(self, mean: float) -> float:
        """Return the score, given the mean over pixels of the squared change, summed over channels."""


class WarpingError(_AlongMotion):
    """Mean over visible pixels of |frame - warped previous frame|^2, colours in [0, 1], summed over channels.

    E_warp of two frames of Lai et al. 2018 (Learning Blind Video Temporal Consistency, ECCV). The motion is estimated
    on the reference, or on the frames if there is no reference; the record says which.
    """

    info = MetricInfo(
        "warping_error",
        "1",
        "Warping error along the flow",
        "lower",
        "1",
        needs_reference=False,
        value_range="[0, 1]",
        takes_region=True,
        needs="neighbouring frames",
        least_px=SMALLEST_PX,
        undefined="it is a video's first frame, or no pixel of it is visible in the one before",
        optional_reference=True,
    )

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._flow_of: set[Side] = set()

    def conditions(self) -> Mapping[str, str]:
        return {"flow": f"of the {' and of the '.join(sorted(self._flow_of))}"} if self._flow_of else {}

    def score_batch(self, batch: Batch) -> Scores:
        self._flow_of.add("frames" if batch.reference is None else "reference")
        self.backend = replace(self.backend, detail=f"{self._detail}, flow {self.conditions()['flow']}")
        return super().score_batch(batch)

    def _change(self, batch: Batch, i: int, motion: _Motion) -> NDArray[np.float32]:
        return _change(batch, "frames", i, motion)

    def _of_mean_square(self, mean: float) -> float:
        return mean / PEAK**2


class OwnWarpingError(WarpingError):
    """Warping error along the flow of the frames themselves, whatever the reference shows.

    It is for a reference of another person, whose flow is not that of the frames. A still picture has the best score.
    """

    info = replace(
        WarpingError.info, id="warping_error_own", title="Warping error along the frames' own flow",
        optional_reference=False,
    )  # fmt: skip

    def score_batch(self, batch: Batch) -> Scores:
        before = None if batch.before is None else Batch(batch.before.frames)
        return super().score_batch(Batch(batch.frames, None, batch.indices, batch.region, before))


class Flicker(_AlongMotion):
    """Root mean square, over visible pixels and channels, of the error's change along the motion, in 8-bit levels.

    With error e = frame - reference, the change is e minus the previous e, warped by the reference's flow. This is
    dtSSD of Erofeev et al. 2015 (Perceptually Motivated Benchmark for Video Matting), applied to colours and with
    motion compensation. An error that moves with the surface gives 0, however large it is; a brightness that alternates
    by a gives 2a.
    """

    info = MetricInfo(
        "flicker",
        "1",
        "Change of the error along the flow",
        "lower",
        "8-bit levels",
        takes_region=True,
        needs="neighbouring frames",
        least_px=SMALLEST_PX,
        undefined="it is a video's first frame, or no pixel of it is visible in the one before",
    )

    def _change(self, batch: Batch, i: int, motion: _Motion) -> NDArray[np.float32]:
        return _change(batch, "frames", i, motion) - _change(batch, "reference", i, motion)

    def _of_mean_square(self, mean: float) -> float:
        return math.sqrt(mean / 3.0)


def _before(batch: Batch, side: Side, i: int) -> NDArray[np.uint8] | None:
    """Return the frame before the i-th, if necessary from the previous batch; None at the start of the video."""
    if i > 0:
        return np.asarray(batch.side(side)[i - 1])
    if batch.before is None or not len(batch.before):
        return None
    return np.asarray(batch.before.side(side)[-1])


def _change(batch: Batch, side: Side, i: int, motion: _Motion) -> NDArray[np.float32]:
    """Return the i-th frame minus the previous one warped to it: float32 [H,W,3] in 8-bit levels."""
    before = _before(batch, side, i)
    assert before is not None
    return np.subtract(batch.side(side)[i], motion.carried(before), dtype=np.float32)


def _motions(batch: Batch) -> list[_Motion | None]:
    """Return the motion of the reference, or of the frames if there is no reference; None for a video's first frame."""

    def measured() -> list[_Motion | None]:
        side: Side = "frames" if batch.reference is None else "reference"
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        pairs = [(frame, _before(batch, side, i)) for i, frame in enumerate(batch.side(side))]
        return [None if before is None else _motion(flow, frame, before) for frame, before in pairs]

    return batch.once("motion", measured)


def _motion(flow: Any, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> _Motion:
    now, then = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY) for x in (frame, before))
    back, forth = (flow.calc(x, y, None) for x, y in ((now, then), (then, now)))
    height, width = now.shape
    left, up = cv2.split(back)
    columns, rows = (left + np.arange(width, dtype=np.float32), up + np.arange(height, dtype=np.float32)[:, None])
    visible = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    right, down = cv2.split(_sampled(forth, columns, rows))
    length = left * left + up * up
    visible &= (right + left) ** 2 + (down + up) ** 2 <= 0.01 * (length + right * right + down * down) + 0.5
    visible &= _steepness(left) + _steepness(up) <= 0.01 * length + 0.002
    return _Motion(columns, rows, visible)


def _steepness(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the squared length of the gradient by central differences: [H,W]."""
    across, down = (
        cv2.Sobel(values, cv2.CV_32F, x, 1 - x, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE) for x in (1, 0)
    )
    return np.asarray(across * across + down * down)


def _sampled(
    image: NDArray[np.float32], columns: NDArray[np.float32], rows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sample the image [H,W,C] at the positions [H,W], bilinearly; the edge pixels are repeated outside."""
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
