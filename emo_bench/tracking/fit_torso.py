"""Torso: the face gives no information about shoulders, so the outline corrects their width and the neck's length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from emo_bench.tracking.fit_motion import BodyMotion
from emo_bench.tracking.fit_outline import Camera, Outline, fit_change
from emo_bench.tracking.head_rig import TORSO_WEIGHT, Head, HeadRig, load_head_rig
from emo_bench.tracking.silhouette import silhouette

RAISES_M = tuple(0.01 * k for k in range(-1, 7))
WIDTHS = (0.9, 1.0, 1.1, 1.2, 1.3)


def change_torso(rig: HeadRig, head: Head, raise_m: float, width: float) -> Head:
    """Raise the torso towards the head by ``raise_m`` metres and widen it by a factor.

    Both are blended by the skinning weights; the head and its joint do not move.
    """
    torso, neck = rig.skin_weights[:, 0], rig.skin_weights[:, 1]
    vertices = head.rest_vertices.copy()
    vertices[:, 1] -= raise_m * (torso + 0.5 * neck)
    vertices[:, 0] *= 1.0 + (width - 1.0) * torso
    joints = head.joints.copy()
    joints[0, 1] -= raise_m
    return Head(vertices, joints)


def fit_torso(
    head: Head, motion: BodyMotion, outlines: Sequence[Outline], focal_px: float, center_px: tuple[float, float]
) -> tuple[float, float]:
    """Find by coordinate search how far to raise and widen the torso so that its outline agrees with the person's.

    Args:
        head: the head fitted to the face.
        motion: poses of all frames.
        outlines: the person's masks in a few frames.
        focal_px, center_px: the camera in the masks' pixels.

    Returns:
        ``raise_m`` and ``width`` for :func:`change_torso`; (0, 1) if no change is clearly better.
    """
    rig = load_head_rig()
    part = rig.skin_weights[:, 0] > TORSO_WEIGHT
    changed = partial(change_torso, rig, head)
    camera = Camera(focal_px, center_px)
    return fit_change(rig, changed, part, _error, (RAISES_M, WIDTHS), (0.0, 1.0), motion, outlines, camera)


def _error(pixels: np.ndarray, outline: Outline) -> float:
    """Return the share of pixels below the chin where torso and person differ; both are extended to the image edge."""
    side = len(outline.mask)
    torso = np.maximum.accumulate(silhouette(pixels, side), axis=0)
    below = slice(int(np.clip(outline.chin_y, 0, side - 1)), side)
    return float((torso[below] ^ outline.mask[below]).mean())
