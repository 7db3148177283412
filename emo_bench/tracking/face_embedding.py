"""dlib's face embedding: a vector for each face, near for pictures of one person (CC0 weights)."""

from __future__ import annotations

import importlib.util

import numpy as np

from emo_bench import assets

ASSET = "dlib-resnet"
# Two embeddings that are nearer than this are of one person (King, dlib's documentation).
SAME_PERSON = 0.6


def embedding_missing() -> str | None:
    """Return what the embedding needs and this machine lacks, or None."""
    if importlib.util.find_spec("dlib") is not None and assets.locate(ASSET) is not None:
        return None
    return embedding_remedy()


def embedding_remedy() -> str:
    """Return what the embedding needs and the command that installs it."""
    return f"needs asset {ASSET} and package dlib-bin; run: {assets.find_asset(ASSET).remedy()} dlib-bin"


class FaceEmbedding:
    """dlib's ResNet, trained so that the Euclidean distance tells people apart.

    Attributes:
        sha256: that of the file of the weights.
        version: dlib's version.
    """

    def __init__(self) -> None:
        import dlib

        file = assets.require(ASSET)
        self.sha256 = file.sha256
        self.version = str(dlib.__version__)
        self._network = dlib.face_recognition_model_v1(str(file.path))

    def embed(self, image_rgb_u8: np.ndarray, landmarks68: np.ndarray) -> np.ndarray:
        """Return the embedding ``[128]`` float64 of a face in ``[H, W, 3]`` uint8, with landmarks ``[68, 2]`` px."""
        import dlib

        # In dlib the centre of the first pixel is (0, 0), and coordinates are whole numbers.
        points = np.floor(landmarks68).astype(int)
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        box = dlib.rectangle(left, top, right, bottom)
        shape = dlib.full_object_detection(box, [dlib.point(x, y) for x, y in points.tolist()])
        return np.array(self._network.compute_face_descriptor(image_rgb_u8, shape), dtype=np.float64)
