"""MediaPipe FaceLandmarker: 478 landmarks, 52 blendshapes and a head matrix; and iBUG's 68 among the 478."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from emo_bench.errors import UserError
from emo_bench.system import opencv as cv2
from emo_bench.system.libraries import missing_library
from emo_bench.system.native_output import quiet_stderr
from emo_bench.tracking.head_rig import EXPRESSIONS

ASSET = "face_landmarker.task"
# In MediaPipe's pixel coordinates the centre of the first pixel is 0 (a picture enlarged by repeating pixels shows
# it); in ours its edge is 0.
PIXEL_CENTER = np.float32(0.5)
# iBUG's 68 points (Sagonas et al., 300-W, 2013) as MediaPipe's numbers, each part from image left to image right.
MEDIAPIPE_TO_68: tuple[int, ...] = (
    127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356,  # jaw 0-16
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows 17-26
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose 27-35
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes 36-47
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips 48-59
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips 60-67
)  # fmt: skip
# MediaPipe's outer eye corners; their distance is the inter-ocular distance by which errors are divided.
EYE_CORNERS: tuple[int, int] = (33, 263)


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        landmarks478: ``[478, 2]`` float32 px, continuous (the centre of the top-left pixel is (0.5, 0.5)).
        expression: ``[52]`` float32 in [0, 1], in the order of ``EXPRESSIONS``; MediaPipe has no tongueOut, so it is 0.
        matrix: ``[4, 4]`` float32, MediaPipe's head matrix (y up, z towards the viewer, centimetres).
    """

    landmarks478: np.ndarray
    expression: np.ndarray
    matrix: np.ndarray

    @property
    def landmarks68(self) -> np.ndarray:
        """The landmarks in iBUG's order, ``[68, 2]`` float32 px."""
        return landmarks68_of(self.landmarks478)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounds of the landmarks in px: left, top, right, bottom."""
        low, high = self.landmarks478.min(axis=0), self.landmarks478.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def area_px(self) -> float:
        """Area of :attr:`box` in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def landmarks68_of(landmarks478: np.ndarray) -> np.ndarray:
    """Pick iBUG's 68 points ``[..., 68, 2]`` from MediaPipe's ``[..., 478, 2]``."""
    return np.asarray(landmarks478[..., MEDIAPIPE_TO_68, :])


def inter_ocular_px(landmarks478: np.ndarray) -> np.ndarray:
    """Compute the distance between the outer eye corners in px: ``[..., 478, 2]`` to ``[...]``."""
    first, second = (landmarks478[..., corner, :] for corner in EYE_CORNERS)
    return np.asarray(np.linalg.norm(first - second, axis=-1))


class Landmarker:
    """MediaPipe's face landmarker on the CPU, in each frame independently.

    Its mode for videos is not offered: for more than one face it gives the same numbers, and for one face it delays the
    landmarks by half a frame (docs/tracking.md).

    Args:
        max_faces: the maximum number of faces to find; at least two, so that a second person is noticed.
        min_confidence: detection confidence in [0, 1] below which a face is not reported.

    Raises:
        UserError: the model file, or a library that MediaPipe loads, is not on this machine.
    """

    def __init__(self, *, max_faces: int = 2, min_confidence: float = 0.5) -> None:
        from emo_bench.assets import require

        model = require(ASSET)
        lacking = missing()
        if lacking is not None:
            raise UserError(lacking)
        self.sha256 = model.sha256
        self._model = _open(model.path.read_bytes(), max_faces, min_confidence)
        # MediaPipe's own __del__ fails while the interpreter shuts down.
        self._finalize = weakref.finalize(self, _close, self._model)

    def detect(self, frame_u8: np.ndarray) -> Detection | None:
        """Return the largest face of a frame ``[H, W, 3]`` uint8 RGB, or None."""
        found = self.detect_all(frame_u8)
        return max(found, key=lambda face: face.area_px) if found else None

    def detect_all(self, frame_u8: np.ndarray) -> list[Detection]:
        """Return every face of a frame ``[H, W, 3]`` uint8 RGB; see :meth:`detect`."""
        import mediapipe as mp

        if frame_u8.dtype != np.uint8 or frame_u8.ndim != 3 or frame_u8.shape[2] != 3:
            raise ValueError(f"a frame is uint8 [H, W, 3], not {frame_u8.dtype} {frame_u8.shape}")
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame_u8))
        return _detections(self._model.detect(image), frame_u8.shape[1], frame_u8.shape[0])

    def close(self) -> None:
        """Free the model."""
        self._finalize()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def missing() -> str | None:
    """Return in one line why MediaPipe cannot be loaded here and what to do about it; None if it can be loaded.

    This imports no Python module, because importing MediaPipe takes seconds.
    """
    lacking = cv2.missing()
    spec = importlib.util.find_spec("mediapipe")
    if lacking is not None or spec is None or not spec.submodule_search_locations:
        return lacking
    for library in Path(next(iter(spec.submodule_search_locations))).glob("tasks/c/libmediapipe.*"):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return missing_library(error) or f"MediaPipe cannot be loaded ({' '.join(str(error).split())})"
    return None


def _open(model: bytes, max_faces: int, min_confidence: float) -> Any:
    os.environ.setdefault("GLOG_minloglevel", "3")
    with quiet_stderr():
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model, delegate=BaseOptions.Delegate.CPU),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=max_faces,
            min_face_detection_confidence=min_confidence,
            min_face_presence_confidence=min_confidence,
            min_tracking_confidence=min_confidence,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        return vision.FaceLandmarker.create_from_options(options)


def _close(model: Any) -> None:
    try:
        with quiet_stderr():
            model.close()
    except RuntimeError:
        # The interpreter is shutting down and accepts no more work; the system frees the model.
        model._handle = None


def _detections(result: Any, width: int, height: int) -> list[Detection]:
    found = []
    for points, shapes, matrix in zip(
        result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
    ):
        xyz = np.array([(p.x, p.y, p.z) for p in points], dtype=np.float32)
        scores = {shape.category_name: shape.score for shape in shapes}
        found.append(
            Detection(
                landmarks478=xyz[:, :2] * np.array((width, height), dtype=np.float32) + PIXEL_CENTER,
                expression=np.array([scores.get(name, 0.0) for name in EXPRESSIONS], dtype=np.float32),
                matrix=np.asarray(matrix, dtype=np.float32),
            )
        )
    return found
