"""Shoulder motion: find shrugs, leaning and swaying, which the face does not show, from the person's outline."""

from __future__ import annotations

import numpy as np

from emo_bench.tracking.fit_motion import smooth
from emo_bench.tracking.head_rig import TORSO_WEIGHT, HeadRig, torso_middle
from emo_bench.tracking.silhouette import silhouette

# Candidates, in shares of the picture and radians. Sideways motion is the least certain, so its range is small.
RISES = np.linspace(-0.16, 0.16, 41)
SWAYS = np.linspace(-0.05, 0.05, 5)
TILTS = np.linspace(-0.16, 0.16, 9)
# A column whose error exceeds this share of the picture is a hand or a hole in the mask.
MOST_OFF = 0.10
# Cost of moving by one picture or tilting by one radian, in pictures of mean error: the torso moves only if the outline
# shows it.
RISE_COST, SWAY_COST, TILT_COST = 0.02, 0.2, 0.1
LEAST_COLUMNS = 0.15
SMOOTH_S = 0.08
HEAD_WEIGHT = 0.5
# Shoulders just below the picture can move up into it; columns without shoulders cannot.
TALLER, NO_TORSO = 1.25, 9.0


def fit_shoulders(
    rig: HeadRig,
    vertices: np.ndarray,
    mask: np.ndarray,
    start_y: float,
    focal_px: float,
    center_px: tuple[float, float],
) -> np.ndarray:
    """Find the shift of the shoulders in one frame.

    Args:
        vertices: ``[V, 3]`` metres, camera space, with the shoulders at the position given by the head's pose.
        mask: the person's mask ``[S, S]`` bool.
        start_y: px in the mask, between nose and mouth; shoulders are searched below it.
        focal_px, center_px: the camera in the mask's pixels.

    Returns:
        ``[3]`` for ``head_rig.shift_torso``.
    """
    side = len(mask)
    torso = rig.skin_weights[:, 0] > TORSO_WEIGHT

    def outline(inside: np.ndarray) -> np.ndarray:
        """Return the outline inside the picture and some way below it."""
        faces = rig.faces[inside[rig.faces].all(axis=1)]
        points = np.concatenate((vertices[inside], vertices[faces].mean(axis=1)))
        pixels = points[:, :2] / points[:, 2:] * focal_px + np.array(center_px)
        return silhouette(pixels, round(TALLER * side))[:, :side]

    middle = torso_middle(rig, vertices)
    shape = outline(torso)
    line = shoulder_line(shape, start_y)
    line[line >= len(shape)] = NO_TORSO * side
    head = outline(rig.skin_weights[:, 2] > HEAD_WEIGHT).any(axis=0)
    hidden = head | mask[int(np.clip(np.ceil(start_y), 0, side - 1))]
    pivot_x = float(middle[0] / middle[2] * focal_px + center_px[0])
    right_px, down_px, tilt = match_shoulders(line, shoulder_line(mask, start_y), ~hidden, pivot_x)
    metres = float(middle[2]) / focal_px
    return np.array((right_px * metres, down_px * metres, tilt))


def shoulder_line(mask: np.ndarray, start_y: float) -> np.ndarray:
    """Find the first row at or below ``start_y`` where each column of ``mask [H, S]`` is set; H if there is none.

    Returns:
        ``[S]`` float32.
    """
    side = len(mask)
    top = int(np.clip(np.ceil(start_y), 0, side - 1))
    below = mask[top:]
    first = np.where(below.any(axis=0), below.argmax(axis=0) + top, side)
    return np.asarray(first, dtype=np.float32)


def match_shoulders(torso: np.ndarray, person: np.ndarray, seen: np.ndarray, pivot_x: float) -> np.ndarray:
    """Find the shift that aligns the torso's shoulder line with the person's.

    Args:
        torso, person: ``[S]`` rows from :func:`shoulder_line`; S or more is below the picture.
        seen: ``[S]`` bool, the columns where neck, chin or hair do not hide the line.
        pivot_x: px, the column about which the torso tilts.

    Returns:
        ``[3]``: px to the right, px downwards, radians clockwise; zero if too few columns are visible.
    """
    side = len(torso)
    if seen.mean() < LEAST_COLUMNS:
        return np.zeros(3)
    columns = np.arange(side) + 0.5
    sways, rises, tilts = SWAYS * side, RISES * side, TILTS
    moved = np.stack([np.interp(columns - sway, columns, torso) for sway in sways])
    lean = tilts[:, None] * (columns - pivot_x)
    lines = moved[:, None, None] + rises[None, :, None, None] + lean[None, None]
    off = np.abs(np.clip(lines[..., seen], 0, side) - person[seen])
    error = np.minimum(off, MOST_OFF * side).mean(axis=-1) / side
    cost = error + SWAY_COST * (SWAYS**2)[:, None, None] / 0.05
    cost = cost + RISE_COST * np.abs(RISES)[None, :, None] + TILT_COST * np.abs(TILTS)[None, None]
    a, b, c = np.unravel_index(cost.argmin(), cost.shape)
    return np.array((sways[a], rises[b], tilts[c]))


def smooth_shoulders(shifts: np.ndarray, frames: np.ndarray, fps: float) -> np.ndarray:
    """Filter ``[B, 3]`` at frame numbers ``frames [B]`` over time by a median and a Gaussian."""
    from scipy.ndimage import median_filter

    steady = median_filter(shifts, size=(min(5, len(shifts)), 1), mode="nearest")
    return smooth(steady, frames, SMOOTH_S * fps)
