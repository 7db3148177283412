"""Face landmark detectors behind one interface: 2D-FAN, MediaPipe and dlib; the first available one is the default.

Scores of different detectors are not comparable. No detector downloads anything: a detector without its weights is not
available.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Batch, Side
from emo_bench.metrics.dependence import about_backend
from emo_bench.metrics.kept import Keeping
from emo_bench.metrics.memory import FrameMemory
from emo_bench.metrics.metric import Backend

Landmarks68 = NDArray[np.float32]
_HERE = sys.modules[__name__]
# The reason why a landmark score is undefined.
NO_FACE = "no face was found in the frame or in its reference"


@dataclass(frozen=True)
class Face:
    """The largest face of a frame.

    Attributes:
        landmarks68: ``[68, 2]`` float32 px in iBUG's order.
        expression: ``[52]`` float32 in [0, 1]; only MediaPipe gives it, others None.
        matrix: ``[4, 4]`` float32 head pose; only MediaPipe gives it, others None.
        box: left, top, right and bottom of MediaPipe's 478 points, ``[4]`` float32 px; others None.
    """

    landmarks68: Landmarks68
    expression: NDArray[np.float32] | None = None
    matrix: NDArray[np.float32] | None = None
    box: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Finds the largest face of a frame ``[H, W, 3]`` uint8 RGB, each frame independently; None if there is no face."""

    def detect(self, frame_u8: NDArray[np.uint8]) -> Any: ...


@runtime_checkable
class BoxDetector(Detector, Protocol):
    """A detector whose landmarks can be asked for in a given box, such as the box of a face in another frame."""

    def surest_box(self, frame_u8: NDArray[np.uint8]) -> Any:
        """Return the box of the face with the highest confidence, None if there is no face."""

    def landmarks_in(self, frame_u8: NDArray[np.uint8], box: Any) -> Landmarks68:
        """Return the landmarks of the face in the box."""


class FaceFinder:
    """A detector that processes each frame once: within a batch and, by content, across batches and methods.

    The detector's results need only the attribute `landmarks68`; if they have the other attributes of `Face`, they are
    passed on. `about` is all that the detector's results depend on, see `about_backend`; with it the faces of recorded
    frames are kept for later runs.
    """

    def __init__(
        self, detector: Detector, backend: Backend | None = None, about: Mapping[str, str] | None = None
    ) -> None:
        self._detector = detector
        self.keeping = None if about is None else Keeping("faces", about, FACE_FIELDS, _arrays_of, _face_of)
        self._memory = FrameMemory(self.keeping)
        self._boxed: FrameMemory[tuple[Any, Landmarks68]] = FrameMemory(lock=self._memory.lock)
        self.backend = backend or Backend(type(detector).__name__)

    def faces(self, batch: Batch, side: Side) -> list[Face | None]:
        """Return the faces of a batch's frames or of its reference."""
        return batch.once((self, side), lambda: self._memory.recall(batch, side, self._look))

    def pairs_in_one_box(self, batch: Batch) -> list[tuple[Landmarks68, Landmarks68] | None]:
        """Return the landmarks of frame and reference, both in the box of the face in the *reference*.

        None if the reference has no face. The detector must be a `BoxDetector`.
        """
        detector = self._detector
        assert isinstance(detector, BoxDetector)

        def boxed(reference: NDArray[np.uint8], _: int) -> tuple[Any, Landmarks68] | None:
            box = detector.surest_box(reference)
            return None if box is None else (box, detector.landmarks_in(reference, box))

        with self._memory.lock:
            known = self._boxed.recall(batch, "reference", boxed)
            frames = map(np.ascontiguousarray, batch.frames)
            return [
                None if found is None else (detector.landmarks_in(frame, found[0]), found[1])
                for frame, found in zip(frames, known, strict=True)
            ]

    def _look(self, frame: NDArray[np.uint8], _: int) -> Face | None:
        found = self._detector.detect(frame)
        if found is None:
            return None
        box = getattr(found, "box", None)
        corners = None if box is None else np.array(box, np.float32)
        return Face(found.landmarks68, getattr(found, "expression", None), getattr(found, "matrix", None), corners)


FACE_FIELDS: Mapping[str, tuple[str, tuple[int | None, ...]]] = {
    "landmarks68": ("f4", (68, 2)),
    "expression": ("f4", (52,)),
    "matrix": ("f4", (4, 4)),
    "box": ("f4", (4,)),
}


def _arrays_of(face: Face) -> Mapping[str, NDArray[np.float32]]:
    arrays = {name: getattr(face, name) for name in FACE_FIELDS}
    return {name: array for name, array in arrays.items() if array is not None}


def _face_of(arrays: Mapping[str, NDArray[np.float32]]) -> Face:
    return Face(**arrays)


@dataclass(frozen=True)
class _Kind:
    """How a detector is opened, and what it needs: importable packages, assets, system libraries."""

    open: Callable[[str], FaceFinder]
    packages: tuple[str, ...]
    distribution: str
    assets: tuple[str, ...]
    libraries: Callable[[], str | None] = lambda: None

    def missing(self) -> str | None:
        if any(importlib.util.find_spec(package) is None for package in self.packages):
            return f"needs package {self.distribution}; run: pip install {self.distribution}"
        return assets.lacking(*self.assets) or self.libraries()


def _missing_mediapipe() -> str | None:
    from emo_bench.tracking import landmarks

    return landmarks.missing()


def missing_detector(asked: str = "auto") -> str | None:
    """Return what the detector lacks on this machine, with the remedy; None if nothing.

    For "auto" without any available detector, return what MediaPipe lacks.

    Raises:
        UserError: there is no such detector.
    """
    if asked == "auto":
        lacking = [DETECTORS[name].missing() for name in AUTOMATIC]
        return None if None in lacking else DETECTORS["mediapipe"].missing()
    if asked not in DETECTORS:
        raise UserError(f"unknown detector {asked!r}; known: auto, {', '.join(DETECTORS)}")
    return DETECTORS[asked].missing()


def detector_name(asked: str = "auto") -> str:
    """Return the detector's name for a setting: "auto" is the first available one of `AUTOMATIC`.

    Raises:
        UserError: there is no such detector, or it lacks something on this machine; the message says what to do.
    """
    lacking = missing_detector(asked)
    if lacking:
        raise UserError(f"landmark detector {asked}: {lacking}")
    return next(name for name in AUTOMATIC if DETECTORS[name].missing() is None) if asked == "auto" else asked


def missing_box_detector(asked: str = "auto") -> str | None:
    """Return why no `BoxDetector` of that name can run here, with the remedy; None if one can.

    Raises:
        UserError: there is no such detector.
    """
    if asked == "auto":
        lacking = [DETECTORS[name].missing() for name in BOX_DETECTORS]
        return None if None in lacking else f"needs a detector that takes the box of a face: fan {lacking[0]}"
    missing = missing_detector(asked)
    if missing is None and asked not in BOX_DETECTORS:
        return f"{asked} takes no box of a face: name the detector {' or '.join(BOX_DETECTORS)}"
    return missing


def box_detector(asked: str = "auto") -> str:
    """Return the name of a `BoxDetector` for a setting, which `missing_box_detector` must have found."""
    return next(n for n in BOX_DETECTORS if DETECTORS[n].missing() is None) if asked == "auto" else asked


@functools.cache
def open_detector(name: str, device: str = "cpu") -> FaceFinder:
    """Open the detector of that name (see `detector_name`) once per process and return it."""
    return DETECTORS[name].open(device)


def _open_mediapipe(device: str) -> FaceFinder:
    from emo_bench.tracking import head_rig, landmarks
    from emo_bench.tracking.landmarks import Landmarker

    model = assets.require("face-landmarker")
    backend = Backend("mediapipe-478-to-68", model.sha256, f"mediapipe {version('mediapipe')}")
    about = about_backend(backend, _HERE, landmarks, expressions=" ".join(head_rig.EXPRESSIONS))
    return FaceFinder(Landmarker(), backend, about)


def _open_fan(device: str) -> FaceFinder:
    import torch

    detector = FANDetector(device)
    weights, boxes = assets.require("fan-2d"), assets.require("sfd")
    detail = f"face-alignment {version('face-alignment')}, boxes of {boxes.path.name}, no flip"
    backend = Backend("face-alignment-2dfan4", weights.sha256, detail)
    if device != "cpu":
        # On a GPU two detections of the same frame may differ in the last digits.
        return FaceFinder(detector, backend)
    about = about_backend(
        backend,
        _HERE,
        boxes=boxes.sha256,
        torch=torch.__version__,
        torch_threads=str(torch.get_num_threads()),
        # ATEN_CPU_CAPABILITY can choose other instructions on the same processor.
        torch_instructions=torch.backends.cpu.get_cpu_capability(),
    )
    return FaceFinder(detector, backend, about)


def _open_dlib(device: str) -> FaceFinder:
    import dlib

    weights = assets.require("dlib-68")
    detail = f"dlib {dlib.__version__}, HOG boxes, enlarged once"
    backend = Backend("dlib-68", weights.sha256, detail)
    return FaceFinder(DlibDetector(), backend, about_backend(backend, _HERE))


class FANDetector:
    """Open 2D-FAN-4 (Bulat and Tzimiropoulos 2017) on boxes of S3FD, by the package face-alignment, from local weights.

    Raises:
        UserError: weights are missing, or this version of the package loads them in a way that is not supported here.
    """

    def __init__(self, device: str = "cpu") -> None:
        import face_alignment
        import torch

        from emo_bench.untrusted.refusal import reading
        from emo_bench.untrusted.torch_archive import read_torch

        weights, boxes = assets.require("fan-2d").path, assets.require("sfd").path

        class LocalFaceAlignment(face_alignment.FaceAlignment):  # type: ignore[misc]
            """Load the network's weights from disk instead of from the package's own download folder."""

            def _load_native(self, name: str, size: int, device: str, dtype: torch.dtype) -> Any:
                network = face_alignment.api.FAN(size)
                with reading(weights, "file of FAN's weights"):
                    network.load_state_dict(read_torch(weights, "file of FAN's weights"))
                return network.to(device, dtype=dtype).eval()

        if not hasattr(face_alignment.FaceAlignment, "_load_native"):
            raise UserError("detector fan needs face-alignment 1.5; run: pip install 'face-alignment>=1.5'")
        self._network = LocalFaceAlignment(
            face_alignment.LandmarksType.TWO_D,
            device=device,
            flip_input=False,
            compile=False,
            face_detector="sfd",
            face_detector_kwargs={"path_to_detector": str(boxes)},
        )

    def detect(self, frame_u8: NDArray[np.uint8]) -> Face | None:
        boxes = self._network.face_detector.detect_from_image(frame_u8.copy())
        if len(boxes) == 0:
            return None
        largest = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        return Face(self.landmarks_in(frame_u8, largest))

    def surest_box(self, frame_u8: NDArray[np.uint8]) -> Any:
        boxes = self._network.face_detector.detect_from_image(frame_u8.copy())
        # The fifth number of a box is its confidence.
        return max(boxes, key=lambda box: float(box[4]), default=None)

    def landmarks_in(self, frame_u8: NDArray[np.uint8], box: Any) -> Landmarks68:
        points = self._network.get_landmarks_from_image(frame_u8, detected_faces=[box])[0]
        return np.asarray(points, dtype=np.float32)


class DlibDetector:
    """dlib's 68 points (Kazemi and Sullivan 2014) on boxes of its HOG detector; coordinates are whole pixels."""

    def __init__(self) -> None:
        import dlib

        self._boxes = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(assets.require("dlib-68").path))

    def detect(self, frame_u8: NDArray[np.uint8]) -> Face | None:
        boxes = self._boxes(frame_u8, 1)
        if len(boxes) == 0:
            return None
        return Face(self.landmarks_in(frame_u8, max(boxes, key=lambda box: box.area())))

    def surest_box(self, frame_u8: NDArray[np.uint8]) -> Any:
        boxes, confidences, _ = self._boxes.run(frame_u8, 1, 0.0)
        return boxes[int(np.argmax(confidences))] if len(boxes) else None

    def landmarks_in(self, frame_u8: NDArray[np.uint8], box: Any) -> Landmarks68:
        # In dlib the centre of the first pixel is (0, 0); here it is (0.5, 0.5).
        parts = self._points(frame_u8, box).parts()
        return np.array([(p.x + 0.5, p.y + 0.5) for p in parts], dtype=np.float32)


DETECTORS: Mapping[str, _Kind] = {
    "fan": _Kind(_open_fan, ("face_alignment",), "face-alignment", ("fan-2d", "sfd")),
    "mediapipe": _Kind(_open_mediapipe, ("mediapipe",), "mediapipe", ("face-landmarker",), _missing_mediapipe),
    "dlib": _Kind(_open_dlib, ("dlib",), "dlib-bin", ("dlib-68",)),
}
# Nobody gets weights for non-commercial use only, as dlib's 68 points are, without asking for them.
AUTOMATIC = ("fan", "mediapipe")
# Those that are a `BoxDetector`; MediaPipe finds the face itself.
BOX_DETECTORS = ("fan", "dlib")
