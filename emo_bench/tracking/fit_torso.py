"""Torso: the face gives no information about shoulders, so the outline corrects their width and the neck's length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from emo_bench.tracking.fit_motion import BodyMotion
from emo_bench.tracking.head_rig import TORSO_WEIGHT, Head, HeadRig, load_head_rig, pose_points
from emo_bench.tracking.silhouette import silhouette

RAISES_M = tuple(0.01 * k for k in range(-1, 7))
WIDTHS = (0.9, 1.0, 1.1, 1.2, 1.3)
# A change must reduce the outline's error by at least this share; otherwise the rig's own estimate is kept.
LEAST_GAIN = 0.1
SWEEPS = 2


@dataclass(frozen=True)
class Outline:
    """The person's mask in one frame.

    Attributes:
        row: the frame's row in the poses.
        mask: ``[S, S]`` bool.
        chin_y: px in the mask; only pixels below it are compared for the torso.
        ears_y: px in the mask; only pixels above it are compared for the hair.
    """

    row: int
    mask: np.ndarray
    chin_y: float
    ears_y: float


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
    points = _TorsoPoints(rig)

    @cache
    def score(change: tuple[float, float]) -> float:
        errors = [_error(points.project(rig, head, change, motion, o.row, focal_px, center_px), o) for o in outlines]
        return float(np.mean(errors))

    best = (0.0, 1.0)
    for _ in range(SWEEPS):
        best = min(((raise_m, best[1]) for raise_m in RAISES_M), key=score)
        best = min(((best[0], width) for width in WIDTHS), key=score)
    return best if score(best) < (1.0 - LEAST_GAIN) * score((0.0, 1.0)) else (0.0, 1.0)


class _TorsoPoints:
    """The vertices and triangle centres of torso and lower neck."""

    def __init__(self, rig: HeadRig) -> None:
        inside = rig.skin_weights[:, 0] > TORSO_WEIGHT
        self._vertices = np.flatnonzero(inside)
        self._faces = rig.faces[inside[rig.faces].all(axis=1)]

    def _gather(self, values: np.ndarray) -> np.ndarray:
        return np.concatenate((values[self._vertices], values[self._faces].mean(axis=1)))

    def project(
        self,
        rig: HeadRig,
        head: Head,
        change: tuple[float, float],
        motion: BodyMotion,
        row: int,
        focal_px: float,
        center_px: tuple[float, float],
    ) -> np.ndarray:
        """Project the changed torso in a frame to pixels ``[N, 2]``, without its small shift by the new neck length."""
        import torch

        changed = change_torso(rig, head, *change)
        poses = [getattr(motion, name)[row : row + 1] for name in BodyMotion.__dataclass_fields__]
        tensors = [torch.from_numpy(np.asarray(pose, dtype=np.float64)) for pose in poses]
        rest = torch.from_numpy(self._gather(changed.rest_vertices).astype(np.float64))
        weights = torch.from_numpy(self._gather(rig.skin_weights).astype(np.float64))
        joints = torch.from_numpy(changed.joints.astype(np.float64))
        camera = pose_points(rest, weights, joints, *tensors)[0].numpy()
        return np.asarray(camera[:, :2] / camera[:, 2:] * focal_px + np.array(center_px))


def _error(pixels: np.ndarray, outline: Outline) -> float:
    """Return the share of pixels below the chin where torso and person differ; both are extended to the image edge."""
    side = len(outline.mask)
    torso = np.maximum.accumulate(silhouette(pixels, side), axis=0)
    below = slice(int(np.clip(outline.chin_y, 0, side - 1)), side)
    return float((torso[below] ^ outline.mask[below]).mean())
