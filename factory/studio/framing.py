"""Cameras: one for head and shoulders, and one whose picture is an FFHQ-aligned head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emo_bench.tracking.fit_landmarks import landmark_places
from emo_bench.tracking.head_rig import Head, load_head_rig
from emo_bench.tracking.landmarks import MEDIAPIPE_TO_68
from factory.studio.scene import Pose, part_transforms


def landmarks_camera_m(head: Head, pose: Pose) -> np.ndarray:
    """Return MediaPipe's 478 landmarks on the posed surface, ``[478, 3]`` metres, camera space."""
    corners, weights, deltas, skin = _landmarks()
    rest = (head.rest_vertices[corners] * weights[..., None]).sum(axis=1)
    rest = rest + np.einsum("e,elc->lc", pose.expression, deltas)
    rotations, shifts = part_transforms(head.joints, pose)
    moved = np.einsum("pij,lj->lpi", rotations, rest) + shifts
    return np.einsum("lp,lpi->li", skin, moved).astype(np.float32)


@lru_cache(maxsize=1)
def _landmarks() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return corners and weights ``[478, 3]``, expression deltas ``[52, 478, 3]`` and skin weights ``[478, 3]``."""
    rig = load_head_rig()
    corners, weights = landmark_places(rig)
    deltas = np.einsum("lk,elkc->elc", weights, rig.expression_deltas[:, corners])
    return corners, weights, deltas, np.einsum("lk,lkp->lp", weights, rig.skin_weights[corners])


def project_px(points: np.ndarray, focal_px: float, center_px: tuple[float, float]) -> np.ndarray:
    """Project by a pinhole camera, ``[..., 3]`` to ``[..., 2]``."""
    return np.asarray(points[..., :2] / points[..., 2:] * focal_px + np.array(center_px))


@dataclass(frozen=True)
class AlignedView:
    """A camera rotated about its axis and shifted so that the picture is the aligned head.

    The scene is rotated by ``rotation`` (about the optical axis) instead of the camera.
    """

    rotation: np.ndarray
    focal_px: float
    center_px: tuple[float, float]


def aligned_view(landmarks_m: np.ndarray, size_px: int) -> AlignedView:
    """Aim at the FFHQ crop of a head (Karras et al. 2019, appendix C) given its landmarks ``[478, 3]``."""
    points = project_px(landmarks_m, 1.0, (0.0, 0.0))[list(MEDIAPIPE_TO_68)]
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth = (left + right) / 2, (points[48] + points[54]) / 2
    eye_to_eye, eye_to_mouth = right - left, mouth - eyes
    x = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    half = max(2.0 * float(np.hypot(*eye_to_eye)), 1.8 * float(np.hypot(*eye_to_mouth)))
    angle = float(np.arctan2(x[1], x[0]))
    cos, sin = np.cos(-angle), np.sin(-angle)
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    focal_px = size_px / (2.0 * half)
    middle = rotation[:2, :2] @ (eyes + 0.1 * eye_to_mouth) * focal_px
    return AlignedView(rotation, focal_px, (size_px / 2 - float(middle[0]), size_px / 2 - float(middle[1])))
