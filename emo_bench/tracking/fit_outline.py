"""Fit a change of the rig, of two numbers, to the person's outline in a few frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from emo_bench.tracking.fit_motion import BodyMotion
from emo_bench.tracking.head_rig import Head, HeadRig, pose_points

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


@dataclass(frozen=True)
class Camera:
    """The camera in the masks' pixels."""

    focal_px: float
    center_px: tuple[float, float]


def fit_change(
    rig: HeadRig,
    changed: Callable[[float, float], Head],
    part: np.ndarray,
    error: Callable[[np.ndarray, Outline], float],
    values: tuple[Sequence[float], Sequence[float]],
    unchanged: tuple[float, float],
    motion: BodyMotion,
    outlines: Sequence[Outline],
    camera: Camera,
) -> tuple[float, float]:
    """Find by coordinate search the change with the smallest mean error over the outlines.

    Args:
        changed: the head after a change.
        part: ``[V]`` bool, the vertices whose outline counts.
        error: the error of projected points ``[N, 2]`` px against an outline.
        values: the values to try for the first and for the second number.
        unchanged: the two numbers that change nothing, which are returned if no change is clearly better.
        motion: poses of all frames.
    """
    corners = rig.faces[part[rig.faces].all(axis=1)]

    def gather(numbers: np.ndarray) -> np.ndarray:
        return np.concatenate((numbers[part], numbers[corners].mean(axis=1)))

    @cache
    def score(change: tuple[float, float]) -> float:
        head = changed(*change)
        points = gather(head.rest_vertices), gather(rig.skin_weights), head.joints
        return float(np.mean([error(_pixels(points, motion, o.row, camera), o) for o in outlines]))

    best = unchanged
    for _ in range(SWEEPS):
        best = min(((first, best[1]) for first in values[0]), key=score)
        best = min(((best[0], second) for second in values[1]), key=score)
    return best if score(best) < (1.0 - LEAST_GAIN) * score(unchanged) else unchanged


def _pixels(points: tuple[np.ndarray, ...], motion: BodyMotion, row: int, camera: Camera) -> np.ndarray:
    """Project rest points with their skin weights and joints in a frame, without the shift by a new neck length."""
    import torch

    poses = (getattr(motion, name)[row : row + 1] for name in BodyMotion.__dataclass_fields__)
    arrays = (torch.from_numpy(np.asarray(array, dtype=np.float64)) for array in (*points, *poses))
    camera_m = pose_points(*arrays)[0].numpy()
    return np.asarray(camera_m[:, :2] / camera_m[:, 2:] * camera.focal_px + np.array(camera.center_px))
