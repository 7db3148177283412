"""The rig reduced to MediaPipe's 478 landmarks: the linear model that is fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from emo_bench.tracking.fit_threads import matmul
from emo_bench.tracking.head_rig import EXPRESSIONS, REGIONS, HeadRig, load_head_rig

# MediaPipe's landmark numbers, from the subject's right to the left, without the corners shared by both lids or lips.
UPPER_LIDS = (246, 161, 160, 159, 158, 157, 173, 398, 384, 385, 386, 387, 388, 466)
LOWER_LIDS = (7, 163, 144, 145, 153, 154, 155, 382, 381, 380, 374, 373, 390, 249)
LID_CORNERS = (33, 133, 362, 263)
UPPER_INNER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_INNER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
LIP_CORNERS = (78, 308)
# These landmarks' rays pass between the open lips; they take the position of their mirror image.
MIRRORED_LIP = {87: 317, 312: 82, 95: 324, 407: 183, 415: 191, 308: 78}
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LID_MOVES_M = 0.0025
LIP_MOVES_M = 0.012


@dataclass(frozen=True, eq=False)
class LandmarkModel:
    """Rest landmarks are ``mean + c @ identity + e @ expression + offset``; float64 metres, body frame.

    Attributes:
        mean, offset: ``[478, 3]``. The offset is a person's constant difference between MediaPipe's landmark and the
            rig's.
        identity: ``[K, 478, 3]``; expression: ``[52, 478, 3]``.
        weight: ``[478]``, the weight of each landmark; contour landmarks slide over the cheek as the head turns.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    offset: np.ndarray
    weight: np.ndarray

    def rest(self, coefficients: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Compute rest landmarks ``[B, 478, 3]`` from identity ``[K]`` and expression ``[B, 52]``."""
        base = self.mean + self.offset + np.einsum("k,klj->lj", coefficients, self.identity)
        moved = matmul(expression, self.expression.reshape(len(self.expression), -1))
        return base + moved.reshape(len(expression), -1, 3)

    def with_offset(self, offset: np.ndarray) -> LandmarkModel:
        """Return the same model with another offset ``[478, 3]``."""
        return replace(self, offset=offset)


@lru_cache(maxsize=1)
def load_landmark_model() -> LandmarkModel:
    """Load the landmark model of the bundled rig."""
    rig = load_head_rig()
    vertices, weights = landmark_places(rig)

    def at_landmarks(values: np.ndarray) -> np.ndarray:
        picked = values[..., vertices, :].astype(np.float64)
        return np.asarray((picked * weights[..., None]).sum(axis=-2))

    weight = np.ones(len(vertices))
    weight[list(FACE_OVAL)] = 0.4
    return LandmarkModel(
        mean=at_landmarks(rig.identity_mean),
        identity=at_landmarks(rig.identity_basis),
        expression=at_landmarks(rig.expression_deltas),
        offset=np.zeros((len(vertices), 3)),
        weight=weight,
    )


@lru_cache(maxsize=2)
def landmark_places(rig: HeadRig) -> tuple[np.ndarray, np.ndarray]:
    """Return corners ``[478, 3]`` int and weights ``[478, 3]`` of each landmark, with lids and lips corrected.

    When the rig was baked, the rays between the lids hit the eyeball and those between the lips hit the tongue, which
    do not move with lids or lips. Such landmarks are moved to the nearest skin vertex that moves as the landmark
    should: upper lids with eyeBlink, lower lips with jawOpen, lower lids and upper lips without.
    """
    vertices = rig.landmark_vertices.copy()
    weights = rig.landmark_barycentric.astype(np.float64)
    places = (rig.identity_mean[vertices] * weights[..., None]).sum(axis=1)
    for number, mirror in MIRRORED_LIP.items():
        places[number] = places[mirror] * (-1.0, 1.0, 1.0)
    skin = np.unique(rig.faces[rig.face_region == REGIONS.index("head")])
    blink = _downwards(rig, skin, "eyeBlinkLeft") + _downwards(rig, skin, "eyeBlinkRight")
    jaw = _downwards(rig, skin, "jawOpen")
    anything = np.ones(len(skin), dtype=bool)
    for landmarks, allowed in (
        (UPPER_LIDS, blink > LID_MOVES_M),
        (LOWER_LIDS, blink < LID_MOVES_M),
        (UPPER_INNER_LIP, jaw < LIP_MOVES_M),
        (LOWER_INNER_LIP, jaw > LIP_MOVES_M),
        (LID_CORNERS, anything),
        (LIP_CORNERS, anything),
        ((407,), anything),
    ):
        candidates = skin[allowed]
        for number in landmarks:
            distance = np.linalg.norm(rig.identity_mean[candidates] - places[number], axis=1)
            vertices[number] = candidates[distance.argmin()]
            weights[number] = (1.0, 0.0, 0.0)
    return vertices, weights


def _downwards(rig: HeadRig, vertices: np.ndarray, action: str) -> np.ndarray:
    return np.asarray(rig.expression_deltas[EXPRESSIONS.index(action)][vertices, 1])
