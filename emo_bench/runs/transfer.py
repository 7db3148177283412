"""Transfer of motion: one person's head, expression and gaze, moved as those of another person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from emo_bench.actors import Capture, Track
from emo_bench.tracking.head_rig import load_head_rig

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

Transfer = Literal["relative", "absolute"]


def driven_capture(own: Capture, driver: Capture, transfer: Transfer = "relative") -> Capture:
    """Return the avatar's capture with the track of :func:`driven_track`; none of its frames can be read.

    A person who drives its own avatar keeps its own track: nothing is transferred.
    """
    if own.sha256 == driver.sha256:
        return own.restricted(())
    view = replace(own.restricted(()), fps=driver.fps)
    view.__dict__["track"] = driven_track(own.track, driver.track, transfer)
    return view


def driven_track(own: Track, driver: Track, transfer: Transfer = "relative") -> Track:
    """Return the person of one track with the expression and the head pose of another.

    With R the camera-from-head rotation and M its mean over the frames with a face, the driven head has

    - ``relative``: ``R = M_own M_driver^-1 R_driver``: it turns away from its own mean as the driver's head does;
    - ``absolute``: ``R = R_driver``: it has the driver's orientation.

    ``M_own`` is the product of the mean rotations of body, neck and head. The expression is the driver's in both. The
    neck makes half of the turn away from ``M_own``. Shoulders, position and camera stay at the person's own mean.

    Args:
        own: the track of the avatar's person.
        driver: the track of the driving person.
        transfer: the rule.

    Returns:
        A track with one frame for each frame of the driver; frames in which the driver has no face hold NaN.
    """
    from scipy.spatial.transform import Rotation

    valid, found = own.valid_indices, driver.face_found
    body, neck, head = (
        Rotation.from_rotvec(getattr(own, name)[valid]).mean() for name in ("body_rotvec", "neck_rotvec", "head_rotvec")
    )
    mean = body * neck * head
    turns = Rotation.from_matrix(driver.head_pose[found, :3, :3].astype(np.float64))
    relative = (turns.mean() if transfer == "relative" else mean).inv() * turns
    bent_neck = neck * Rotation.from_rotvec(0.5 * relative.as_rotvec())
    bent_head = (body * bent_neck).inv() * mean * relative

    def spread(rows: np.ndarray) -> np.ndarray:
        values = np.full((len(found), 3), np.nan, dtype=np.float32)
        values[found] = rows
        return values

    track = replace(
        own,
        expression=driver.expression,
        body_rotvec=spread(_rotvec(body)),
        neck_rotvec=spread(_rotvec(bent_neck)),
        head_rotvec=spread(_rotvec(bent_head)),
        body_translation=spread(own.body_translation[valid].mean(axis=0)),
        torso_shift=spread(own.torso_shift[valid].mean(axis=0)),
        landmarks478=np.full((len(found), 478, 2), np.nan, dtype=np.float32),
        face_found=found,
        foreground_bits=np.zeros((len(found), own.foreground_bits.shape[1]), dtype=np.uint8),
        foreground_shares=None,
    )
    landmarks = track.landmarks478.copy()
    for i in track.valid_indices:
        landmarks[i] = projected_landmarks(track, int(i))
    return replace(track, landmarks478=landmarks)


def projected_landmarks(track: Track, i: int) -> np.ndarray:
    """Return the rig's 478 landmarks in frame ``i``: ``[478, 2]`` float32, in pixels of the track's frame size."""
    points = landmarks_camera_m(track, i)
    return np.asarray(points[:, :2] / points[:, 2:] * track.focal_px + np.array(track.center_px), np.float32)


def landmarks_camera_m(track: Track, i: int) -> np.ndarray:
    """Return the rig's 478 landmarks in frame ``i``: ``[478, 3]`` metres, camera space."""
    rig = load_head_rig()
    corners = track.vertices(i)[rig.faces[rig.landmark_faces]]
    return np.asarray((rig.landmark_barycentric[:, :, None] * corners).sum(axis=1))


def _rotvec(rotation: Rotation) -> np.ndarray:
    return np.asarray(rotation.as_rotvec(), dtype=np.float32)
