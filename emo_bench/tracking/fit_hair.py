"""Hair: the rig's skull is bald, so the scalp is inflated until its outline agrees with that of the person's hair."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from emo_bench.tracking.fit_motion import BodyMotion
from emo_bench.tracking.fit_outline import Camera, Outline, fit_change
from emo_bench.tracking.head_rig import Head, HeadRig, load_head_rig
from emo_bench.tracking.silhouette import silhouette

HEIGHTS = tuple(0.05 * k for k in range(13))
WIDTHS = tuple(0.05 * k for k in range(13))
# The face ends at this distance from the nearest landmark; beyond it the scalp moves fully.
FACE_M, SCALP_M = 0.006, 0.035
HEAD_WEIGHT = 0.5
EYES = slice(36, 48)


def scalp_weights(rig: HeadRig, head: Head) -> np.ndarray:
    """Return weights ``[V]`` in [0, 1]: 1 on the crown and the back of the head, 0 on the face and below the eyes."""
    from scipy.spatial import cKDTree

    rest = head.rest_vertices
    face = _landmark_points(rig, head)
    away, _ = cKDTree(face).query(rest)
    eyes_y, top_y = _eyes_and_top_y(rig, head)
    height = (eyes_y - rest[:, 1]) / (eyes_y - top_y)
    skin = rig.face_region == 0
    outside = np.zeros(len(rest), dtype=bool)
    outside[rig.faces[skin]] = True
    return np.asarray(_ramp(away, FACE_M, SCALP_M) * _ramp(height, 0.0, 0.4) * rig.skin_weights[:, 2] * outside)


def change_hair(rig: HeadRig, head: Head, height: float, width: float) -> Head:
    """Inflate the scalp: multiply the crown height above the eyes by ``1 + height`` and the width by ``1 + width``."""
    weight = scalp_weights(rig, head)
    rest = head.rest_vertices.copy()
    skull = weight > 0.5
    eyes_y, _ = _eyes_and_top_y(rig, head)
    middle = (0.0, eyes_y, float(rest[skull, 2].mean()))
    scale = np.array((width, height, width))
    rest += (weight[:, None] * scale * (rest - middle)).astype(rest.dtype)
    return Head(rest, head.joints)


def fit_hair(
    head: Head, motion: BodyMotion, outlines: Sequence[Outline], focal_px: float, center_px: tuple[float, float]
) -> tuple[float, float]:
    """Find how far the scalp must grow so that its outline agrees with the person's above the ears.

    Args:
        head: the head fitted to the face.
        motion: poses of all frames.
        outlines: the person's masks in a few frames.
        focal_px, center_px: the camera in the masks' pixels.

    Returns:
        ``height`` and ``width`` for :func:`change_hair`; (0, 0) if no change is clearly better.
    """
    rig = load_head_rig()
    part = rig.skin_weights[:, 2] > HEAD_WEIGHT
    changed = partial(change_hair, rig, head)
    camera = Camera(focal_px, center_px)
    return fit_change(rig, changed, part, _error, (HEIGHTS, WIDTHS), (0.0, 0.0), motion, outlines, camera)


def _error(pixels: np.ndarray, outline: Outline) -> float:
    above = slice(0, int(np.clip(outline.ears_y, 0, len(outline.mask))))
    hair = silhouette(pixels, len(outline.mask))[above]
    return float((hair ^ outline.mask[above]).mean()) if hair.size else 0.0


def _landmark_points(rig: HeadRig, head: Head) -> np.ndarray:
    corners = head.rest_vertices[rig.landmark_vertices]
    return np.asarray((rig.landmark_barycentric[:, :, None] * corners).sum(axis=1))


def _eyes_and_top_y(rig: HeadRig, head: Head) -> tuple[float, float]:
    from emo_bench.tracking.landmarks import landmarks68_of

    eyes = landmarks68_of(_landmark_points(rig, head)[None])[0, EYES, 1]
    skull = rig.skin_weights[:, 2] > HEAD_WEIGHT
    return float(eyes.mean()), float(head.rest_vertices[skull, 1].min())


def _ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    share = np.clip((values - start) / (end - start), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share))
