"""Identity: the similarity of frame and reference according to a face embedding network."""

import functools
import hashlib
import importlib.util
import os
import sys
from collections.abc import Hashable, Mapping
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench import assets
from emo_bench.metrics.batch import Batch, Settings, Side
from emo_bench.metrics.dependence import about_backend
from emo_bench.metrics.detectors import NO_FACE, FaceFinder, Landmarks68, detector_name, missing_detector, open_detector
from emo_bench.metrics.kept import Keeping
from emo_bench.metrics.memory import FrameMemory
from emo_bench.metrics.metric import Backend, Metric, MetricInfo, Scores
from emo_bench.system import opencv as cv2
from emo_bench.tracking import face_embedding
from emo_bench.tracking.face_embedding import FaceEmbedding, embedding_remedy

ARCFACE, DLIB = "arcface-onnx", face_embedding.ASSET
# Positions of eyes, nose tip and mouth corners in ArcFace's 112 px training crops (Deng et al. 2019), in pixels.
ARCFACE_POINTS = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
ARCFACE_PX = 112
# The package that runs each embedder, and the distribution that brings it; the first embedder on this machine is used.
PACKAGES = {ARCFACE: ("onnxruntime", "onnxruntime"), DLIB: ("dlib", "dlib-bin")}

Embedding = NDArray[np.float64]
_HERE = sys.modules[__name__]


class Embedder(Hashable, Protocol):
    """Computes the embedding vector of a face in a frame ``[H, W, 3]`` uint8 RGB, located by its 68 landmarks."""

    backend: Backend

    def embed(self, frame: NDArray[np.uint8], landmarks: Landmarks68) -> Embedding: ...


class IdentitySimilarity(Metric):
    """Cosine of the face embeddings of frame and reference, -1 to 1; NaN if either face is not found.

    The embedder is an ArcFace ResNet-50 if its file is on this machine, otherwise dlib's ResNet. Their cosines are not
    comparable: for two strangers ArcFace gives about 0, dlib about 0.8. Faces are cropped by the landmarks of the
    scoring's detector.
    """

    finds_faces = True
    info = MetricInfo("identity_similarity", "1", "Cosine of face embeddings", "higher", "1", undefined=NO_FACE)
    # The embedder that the metric is defined by; None is the first one on this machine.
    network: ClassVar[str | None] = None

    @classmethod
    def missing(cls) -> str | None:
        here = _is_here(cls.network) if cls.network else _embedder_name() is not None
        return missing_detector() or (None if here else _remedy(cls.network or DLIB)) or cv2.missing()

    @classmethod
    def missing_for(cls, settings: Settings) -> str | None:
        """Return what the embedder or the scoring's landmark detector lacks on this machine."""
        return cls.missing() or missing_detector(settings.detector)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        return cls(settings.device, settings.detector)

    def __init__(
        self, device: str = "cpu", detector: str | FaceFinder = "auto", embedder: "Embedder | None" = None
    ) -> None:
        super().__init__(device)
        if isinstance(detector, str):
            detector = open_detector(detector_name(detector), device)
        self._finder = detector
        self._embedder = embedder or _open_embedder(self.network or _embedder_name() or DLIB)
        self._memory = _memory(self._embedder, detector)
        own = self._embedder.backend
        self.backend = Backend(own.name, own.sha256, f"{own.detail}, faces by {detector.backend.name}")

    def conditions(self) -> Mapping[str, str]:
        faces = self._finder.backend
        return {"faces": f"{faces.name}, SHA-256 {faces.sha256}" if faces.sha256 else faces.name}

    def score_batch(self, batch: Batch) -> Scores:
        pairs = zip(self._embeddings(batch, "frames"), self._embeddings(batch, "reference"), strict=True)
        return np.array([np.nan if x is None or y is None else self.compared(x, y) for x, y in pairs], float)

    def compared(self, mine: Embedding, theirs: Embedding) -> float:
        """Return what two embeddings have in common: their cosine, or what a subclass measures."""
        return cosine(mine, theirs)

    def _embeddings(self, batch: Batch, side: Side) -> list[Embedding | None]:
        faces = self._finder.faces(batch, side)

        def embedded(frame: NDArray[np.uint8], i: int) -> Embedding | None:
            face = faces[i]
            return None if face is None else self._embedder.embed(frame, face.landmarks68)

        return self._memory.recall(batch, side, embedded)


class CSIM(IdentitySimilarity):
    """CSIM: the cosine of ArcFace's embeddings of frame and reference, never of another network's."""

    info = MetricInfo("csim", "1", "CSIM: cosine of ArcFace embeddings", "higher", "1", undefined=NO_FACE)
    network = ARCFACE


class IdentityDistance(IdentitySimilarity):
    """Euclidean distance of dlib's face embeddings of frame and reference, 0 and up.

    dlib's network was trained for this distance, and says "the same person" below `SAME_PERSON`.
    """

    info = MetricInfo("identity_distance", "1", "Distance of face embeddings", "lower", "1", undefined=NO_FACE)
    network = DLIB

    def compared(self, mine: Embedding, theirs: Embedding) -> float:
        return distance(mine, theirs)


class ArcFace:
    """ArcFace (Deng et al. 2019) as ONNX; embedding ``[512]``. The weights are for non-commercial research only."""

    def __init__(self) -> None:
        import onnxruntime

        file = assets.require(ARCFACE)
        options = onnxruntime.SessionOptions()
        # A waiting thread that spins occupies a core that another process could use.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.backend = Backend(ARCFACE, file.sha256, f"onnxruntime {onnxruntime.__version__}")

    def embed(self, frame: NDArray[np.uint8], landmarks: Landmarks68) -> Embedding:
        crop = arcface_crop(frame, landmarks).astype(np.float32)
        image = ((crop - 127.5) / 127.5).transpose(2, 0, 1)[None]
        return np.asarray(self._session.run(None, {self._input: image})[0][0], dtype=np.float64)


class DlibResNet:
    """dlib's face recognition ResNet: embedding ``[128]``, trained for Euclidean distance, not centred."""

    def __init__(self) -> None:
        self._network = FaceEmbedding()
        self.backend = Backend(DLIB, self._network.sha256, f"dlib {self._network.version}")

    def embed(self, frame: NDArray[np.uint8], landmarks: Landmarks68) -> Embedding:
        return self._network.embed(frame, landmarks)


def arcface_crop(frame: NDArray[np.uint8], landmarks: Landmarks68) -> NDArray[np.uint8]:
    """Crop the face ``[112, 112, 3]`` by the similarity transform that best maps five points to `ARCFACE_POINTS`."""
    eyes = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    five = np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]]).astype(np.float64) - 0.5
    # A similarity of the plane is w = a z + b of complex numbers; least squares gives a.
    z, w = five @ (1, 1j), ARCFACE_POINTS @ (1, 1j)
    a = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean())
    b = w.mean() - a * z.mean()
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    return np.asarray(cv2.warpAffine(frame, matrix, (ARCFACE_PX, ARCFACE_PX)))


def cosine(mine: Embedding, theirs: Embedding) -> float:
    """Return the cosine of the angle between two embeddings, -1 to 1."""
    return float(mine @ theirs / (np.linalg.norm(mine) * np.linalg.norm(theirs)))


def distance(mine: Embedding, theirs: Embedding) -> float:
    """Return the Euclidean distance of two embeddings."""
    return float(np.linalg.norm(mine - theirs))


@functools.cache
def _memory(embedder: Embedder, finder: FaceFinder) -> FrameMemory[Embedding]:
    if finder.keeping is None or not isinstance(embedder, ArcFace | DlibResNet):
        return FrameMemory()
    faces = hashlib.sha256(finder.keeping.about_json).hexdigest()
    about = about_backend(
        embedder.backend, _HERE, face_embedding, faces=faces, opencv=cv2.__version__, cores=str(os.cpu_count())
    )
    fields = {"embedding": ("f8", (None,))}
    return FrameMemory(Keeping("identity", about, fields, lambda e: {"embedding": e}, lambda a: a["embedding"]))


@functools.cache
def _open_embedder(name: str) -> Embedder:
    return ArcFace() if name == ARCFACE else DlibResNet()


def _embedder_name() -> str | None:
    """Return the first embedder whose package can be imported and whose weights are on this machine."""
    return next((name for name in PACKAGES if _is_here(name)), None)


def _is_here(embedder: str) -> bool:
    return importlib.util.find_spec(PACKAGES[embedder][0]) is not None and assets.locate(embedder) is not None


def _remedy(embedder: str) -> str:
    if embedder == DLIB:
        return embedding_remedy()
    ways = [] if assets.locate(embedder) else [assets.find_asset(embedder).remedy()]
    package, distribution = PACKAGES[embedder]
    ways += [] if importlib.util.find_spec(package) else [f"pip install {distribution}"]
    return f"needs asset {embedder} and package {distribution}; run: {' and '.join(ways)}"
