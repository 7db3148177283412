"""Other cameras: the track of a person as cameras see it that stand elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emo_bench.actors import Capture, Track
from emo_bench.actors.track import POSES
from emo_bench.runs.transfer import landmarks_camera_m
from protocols.viewing import Viewing


@dataclass(frozen=True)
class Standpoint:
    """Where another camera stands, in the space of the camera that filmed.

    Attributes:
        turn: ``[3, 3]`` float64, the rotation from the space of the filming camera to that of this one.
        pivot: ``[3]`` float64 metres, the point about which the camera is turned; it stays where it is in the picture.
    """

    turn: np.ndarray
    pivot: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """The camera's position, ``[3]`` metres."""
        return np.asarray(self.pivot - self.turn.T @ self.pivot)

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Return points ``[..., 3]`` of the space of the filming camera in the space of this one."""
        return np.asarray((points - self.pivot) @ self.turn.T + self.pivot)


FILMED_VIEW = Standpoint(np.eye(3), np.zeros(3))


def standpoint(track: Track, yaw_deg: float, pitch_deg: float) -> Standpoint:
    """Return the camera that sees a person turned by so much more than the camera that filmed.

    The camera is turned about the mean position of the head joint, so that its distance to the head stays.

    Args:
        track: the track of the person's video.
        yaw_deg: positive if the person appears to be turned further towards image right.
        pitch_deg: positive if the person appears to look further up.
    """
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(np.deg2rad((-pitch_deg, -yaw_deg, 0.0))).as_matrix()
    return Standpoint(turn, track.head_pose[track.valid_indices, :3, 3].astype(np.float64).mean(axis=0))


def viewed_track(track: Track, cameras: Sequence[Standpoint], *, landmarks: bool = True) -> Track:
    """Return the track of the same motion as each camera sees it, one camera after another: ``C T`` frames.

    Focal length and centre are those of the camera that filmed. The foreground is empty, because no mask is known.
    Without ``landmarks``, which take seconds, these are NaN.

    Raises:
        ValueError: the track moves the shoulders in the picture plane, which has no meaning in another view.
    """
    from scipy.spatial.transform import Rotation

    if np.nan_to_num(track.torso_shift).any():
        raise ValueError("the shoulders of this track are moved in the picture plane: it has no other views")
    found, count = track.face_found, len(cameras)
    points = np.full((len(track), 478, 3), np.nan)
    for i in track.valid_indices if landmarks else ():
        points[i] = landmarks_camera_m(track, int(i))
    bodies, places, projected = [], [], []
    for camera in cameras:
        body = track.body_rotvec.copy()
        turned = Rotation.from_matrix(camera.turn) * Rotation.from_rotvec(body[found].astype(np.float64))
        body[found] = turned.as_rotvec()
        bodies.append(body)
        places.append(camera.seen(track.body_translation).astype(np.float32))
        shown = camera.seen(points)
        projected.append(shown[..., :2] / shown[..., 2:] * track.focal_px + np.array(track.center_px))
    repeated: dict[str, Any] = {
        name: np.concatenate([getattr(track, name)] * count)
        for name in (*POSES, "expression", "torso_shift", "face_found")
    }
    repeated["body_rotvec"] = np.concatenate(bodies)
    repeated["body_translation"] = np.concatenate(places)
    repeated["landmarks478"] = np.concatenate(projected).astype(np.float32)
    repeated["foreground_bits"] = np.zeros((len(track) * count, track.foreground_bits.shape[1]), dtype=np.uint8)
    repeated["foreground_shares"] = None
    return replace(track, **repeated)


def cameras_of(track: Track, views: Viewing) -> list[Standpoint]:
    """Return the cameras of a protocol for the person of a track."""
    return [standpoint(track, camera.yaw_deg, camera.pitch_deg) for camera in views.cameras]


def viewed_capture(capture: Capture, views: Viewing) -> Capture:
    """Return the capture with the track of :func:`viewed_track`; none of its frames can be read."""
    view = capture.restricted(())
    view.__dict__["track"] = viewed_track(capture.track, cameras_of(capture.track, views))
    return view
