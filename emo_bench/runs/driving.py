"""Cross-reenactment: one person's avatar moves as another person does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from emo_bench.actors import Capture, Track, list_actors, load
from emo_bench.actors.add import add_video
from emo_bench.actors.capture import resize_area
from emo_bench.actors.names import check_name
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method
from emo_bench.progress import track_progress
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.video.writing import H264, write_video

SHOWN_PX = 256

log = logging.getLogger("emo_bench")


def load_driver(by: str) -> Capture:
    """The capture of the driving person.

    Args:
        by: the name of an actor, or a video file. A video is tracked and kept as an actor with the name of the file.

    Raises:
        UserError: there is no such actor or video, the video cannot be tracked, or the name belongs to an actor.
    """
    video = Path(by)
    if not video.is_file():
        return load(by)
    name = check_name(video.stem)
    if name in {info.name for info in list_actors()}:
        raise UserError(f"there is already an actor {name}: give --by {name}, or rename the video")
    log.info("%s", add_video(video, name))
    return load(name)


def driven_capture(own: Capture, driver: Capture, indices: np.ndarray) -> Capture:
    """The avatar's capture with the track of :func:`driven_track` and without a readable frame."""
    view = own.restricted(())
    view = replace(view)
    view.__dict__["track"] = driven_track(own.track, driver.track, indices)
    return view


def driven_track(own: Track, driver: Track, indices: np.ndarray) -> Track:
    """The person of one track with the expression and the relative head pose of another.

    The head turns from its own mean orientation as the driver's does from the driver's mean, half of it in the neck.
    Shoulders and camera stay at the person's own mean.

    Args:
        own: of the avatar's person.
        driver: who drives.
        indices: frames of the driver, all with a face.

    Returns:
        A track of ``len(indices)`` frames.
    """
    from scipy.spatial.transform import Rotation

    valid, count = own.valid_indices, len(indices)
    means = {
        name: Rotation.from_rotvec(getattr(own, name)[valid]).mean()
        for name in ("body_rotvec", "neck_rotvec", "head_rotvec")
    }
    body, neck = means["body_rotvec"], means["neck_rotvec"]
    turns = Rotation.from_matrix(driver.head_pose[driver.valid_indices, :3, :3].astype(np.float64))
    relative = turns.mean().inv() * Rotation.from_matrix(driver.head_pose[indices, :3, :3].astype(np.float64))
    total = body * neck * means["head_rotvec"] * relative
    bent_neck = neck * Rotation.from_rotvec(0.5 * relative.as_rotvec())
    head = (body * bent_neck).inv() * total

    def still(values: np.ndarray) -> np.ndarray:
        return np.tile(values[valid].mean(axis=0), (count, 1)).astype(np.float32)

    track = replace(
        own,
        expression=driver.expression[indices],
        body_rotvec=np.tile(body.as_rotvec(), (count, 1)).astype(np.float32),
        neck_rotvec=bent_neck.as_rotvec().astype(np.float32),
        head_rotvec=head.as_rotvec().astype(np.float32),
        body_translation=still(own.body_translation),
        torso_shift=still(own.torso_shift),
        landmarks478=np.zeros((count, 478, 2), dtype=np.float32),
        face_found=np.ones(count, dtype=bool),
        foreground_bits=np.zeros((count, own.foreground_bits.shape[1]), dtype=np.uint8),
    )
    return replace(track, landmarks478=np.stack([projected_landmarks(track, i) for i in range(count)]))


def projected_landmarks(track: Track, i: int) -> np.ndarray:
    """Where the rig's 478 landmarks lie in frame ``i``: ``[478, 2]`` float32 px at the track's size."""
    rig = load_head_rig()
    corners = track.vertices(i)[rig.faces[rig.landmark_faces]]
    points = (rig.landmark_barycentric[:, :, None] * corners).sum(axis=1)
    return np.asarray(points[:, :2] / points[:, 2:] * track.focal_px + np.array(track.center_px), np.float32)


def render_driven(method: Method, own: Capture, driver: Capture, frames: int | None, path: Path) -> int:
    """Render an avatar driven by another person's capture to an H.264 MP4, the driver beside it; returns the frames.

    Args:
        method: a fitted method or a finished edit.
        own: the capture that it was fitted on.
        driver: who drives.
        frames: at most so many, from the start; None takes all with a face.
        path: the file; it appears whole or not at all.

    Raises:
        UserError: the driver has no frame with a face.
    """
    indices = driver.valid_indices[:frames]
    if not len(indices):
        raise UserError(f"actor {driver.name} has no frame with a face to drive with")
    capture = driven_capture(own, driver, indices)
    rendered = method.render(capture, list(range(len(indices))))
    recorded = driver.frames(indices, size=SHOWN_PX)

    def pictures() -> Iterator[np.ndarray]:
        with track_progress(len(indices), f"drive by {driver.name}") as advance:
            for theirs, ours in zip(recorded, rendered, strict=True):
                advance()
                yield np.concatenate([theirs, resize_area(ours, SHOWN_PX)], axis=1)

    write_mp4(path, pictures(), driver.fps)
    return len(indices)


def write_mp4(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    """Write pictures ``uint8 [H, W, 3]`` of even sides as H.264, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures, H264, fps)
