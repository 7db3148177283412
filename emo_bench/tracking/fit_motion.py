"""Convert rigid heads to a moving person: zero-phase smoothing, and the split into a steady torso, neck and head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from emo_bench.tracking.fit_solver import HeadFit, Observation, Person

# Standard deviations of the Gaussian windows in seconds. Depth has the most noise and changes most slowly.
ROTATION_S, EXPRESSION_S, DEPTH_S = 0.04, 0.02, 0.15
TORSO_TURN_S, TORSO_SHIFT_S = 2.0, 0.4
# The shares of the head's mean yaw and pitch, and of its slow rotation, that the torso follows. The torso does not
# follow the head's mean roll, because people sit upright. The neck takes its share of the rest.
MEAN_YAW_SHARE, MEAN_PITCH_SHARE, SLOW_SHARE = 0.7, 0.5, 0.25
NECK_SHARE = 0.4
MAX_NECK_SWING_RAD = 0.35


@dataclass(frozen=True)
class BodyMotion:
    """Poses of B frames for ``pose_head``, ``[B, 3]`` each, float64."""

    body_rotvec: np.ndarray
    body_translation: np.ndarray
    neck_rotvec: np.ndarray
    head_rotvec: np.ndarray


def smooth(values: np.ndarray, frames: np.ndarray, sigma_frames: float) -> np.ndarray:
    """Smooth samples ``[B, ...]`` at frame numbers ``frames [B]`` over time by a Gaussian, without delay.

    Missing frames have no weight, so a gap does not change its neighbours and is not filled.
    """
    if sigma_frames <= 0.0 or len(frames) == 0:
        return values
    at = frames - frames[0]
    dense = np.zeros((at[-1] + 1, *values.shape[1:]))
    there = np.zeros(at[-1] + 1)
    dense[at], there[at] = values, 1.0
    total = gaussian_filter1d(dense, sigma_frames, axis=0, mode="constant")
    share = gaussian_filter1d(there, sigma_frames, mode="constant")
    return np.asarray(total[at] / share[at].reshape(-1, *[1] * (values.ndim - 1)))


def smooth_rotations(rotations: np.ndarray, frames: np.ndarray, sigma_frames: float) -> np.ndarray:
    """Smooth rotation matrices ``[B, 3, 3]`` like :func:`smooth`."""
    quaternions = Rotation.from_matrix(rotations).as_quat()
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    quaternions[1:] *= np.cumprod(np.where(flips == 0, 1.0, flips))[:, None]
    mean = smooth(quaternions, frames, sigma_frames)
    return np.asarray(Rotation.from_quat(mean).as_matrix())


def smooth_heads(person: Person, heads: HeadFit, seen: Observation, frames: np.ndarray, fps: float) -> HeadFit:
    """Smooth rotation, expression and depth; then align each head with its landmarks again in the picture plane."""
    rotation = smooth_rotations(heads.rotation, frames, ROTATION_S * fps)
    expression = np.clip(smooth(heads.expression, frames, EXPRESSION_S * fps), 0.0, 1.0)
    translation = heads.translation.copy()
    translation[:, 2] = smooth(translation[:, 2], frames, DEPTH_S * fps)
    smoothed = HeadFit(rotation, translation, expression)
    for part in seen.parts():
        translation[part, :2] = _aligned(person, smoothed[part], seen[part])
    return smoothed


def _aligned(person: Person, heads: HeadFit, seen: Observation) -> np.ndarray:
    """Return the places ``[B, 2]`` in the picture plane, metres, at which the heads fit their landmarks best."""
    rotated = person.model.rest(person.coefficients, heads.expression) @ heads.rotation.transpose(0, 2, 1)
    scale = person.focal_px / (rotated[..., 2:] + heads.translation[:, None, 2:])
    gap = seen.landmarks - seen.center_px - rotated[..., :2] * scale
    weight = person.model.weight[:, None]
    return np.asarray((weight * scale * gap).sum(axis=1) / (weight * scale**2).sum(axis=1))


def split_motion(heads: HeadFit, joints: np.ndarray, frames: np.ndarray, fps: float) -> BodyMotion:
    """Explain the poses of rigid heads by a steady torso, a neck and a head.

    The torso is upright, follows most of the head's mean rotation and a quarter of its slow rotation. The neck takes
    its share of the rest; then it turns so that its upper end meets the head while its lower end follows the head's
    slow path. The torso moves by the remainder that the neck's fixed length cannot explain. The head's pose is kept
    exactly.

    Args:
        heads: B frames.
        joints: ``[2, 3]`` neck and head joint at rest.
        frames: ``[B]`` frame numbers, ascending.
    """
    head = Rotation.from_matrix(heads.rotation)
    body = _torso_turn(head, frames, fps)
    relative = body.inv() * head
    neck = Rotation.from_rotvec(NECK_SHARE * relative.as_rotvec())
    bone = joints[1] - joints[0]
    head_joint = head.apply(joints[1]) + heads.translation
    lower_end = head_joint - (body * neck).apply(bone)
    calm_end = smooth(lower_end, frames, TORSO_SHIFT_S * fps)
    neck = _swing(neck.apply(bone), body.inv().apply(head_joint - calm_end)) * neck
    translation = head_joint - (body * neck).apply(bone) - body.apply(joints[0])
    return BodyMotion(
        body_rotvec=body.as_rotvec(),
        body_translation=translation,
        neck_rotvec=neck.as_rotvec(),
        head_rotvec=(neck.inv() * relative).as_rotvec(),
    )


def _torso_turn(head: Rotation, frames: np.ndarray, fps: float) -> Rotation:
    mean = head.mean()
    yaw, pitch, _ = mean.as_euler("YXZ")
    upright = Rotation.from_euler("YXZ", (MEAN_YAW_SHARE * yaw, MEAN_PITCH_SHARE * pitch, 0.0))
    slow = smooth((mean.inv() * head).as_rotvec(), frames, TORSO_TURN_S * fps)
    return upright * Rotation.from_rotvec(SLOW_SHARE * slow)


def _swing(start: np.ndarray, end: np.ndarray) -> Rotation:
    """Return the smallest rotations of directions ``start [B, 3]`` towards ``end [B, 3]``, up to a maximum angle."""
    start = start / np.linalg.norm(start, axis=1, keepdims=True)
    end = end / np.linalg.norm(end, axis=1, keepdims=True)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(axis=1, keepdims=True))
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * np.minimum(angle, MAX_NECK_SWING_RAD))
