"""Cross-reenactment: animate one person's avatar with the motion of another person."""

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
    """Return the capture of the driving person.

    Args:
        by: the name of an actor, or a video file. A video is tracked and kept as an actor with the name of the file.

    Raises:
        UserError: there is no such actor or video, the video cannot be tracked, or an actor already has the video's
            name.
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
    """Return the avatar's capture with the track of :func:`driven_track`; none of its frames can be read."""
    view = own.restricted(())
    view = replace(view)
    view.__dict__["track"] = driven_track(own.track, driver.track, indices)
    return view


def driven_track(own: Track, driver: Track, indices: np.ndarray) -> Track:
    """Return the person of one track with the expression and the relative head pose of another.

    The head turns away from its own mean orientation as the driver's head turns away from the driver's mean. The neck
    makes half of the turn. Shoulders and camera stay at the person's own mean.

    Args:
        own: the track of the avatar's person.
        driver: the track of the driving person.
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
    """Return the rig's 478 landmarks in frame ``i``: ``[478, 2]`` float32, in pixels of the track's frame size."""
    rig = load_head_rig()
    corners = track.vertices(i)[rig.faces[rig.landmark_faces]]
    points = (rig.landmark_barycentric[:, :, None] * corners).sum(axis=1)
    return np.asarray(points[:, :2] / points[:, 2:] * track.focal_px + np.array(track.center_px), np.float32)


def render_driven(method: Method, own: Capture, driver: Capture, frames: int | None, path: Path) -> int:
    """Render an avatar driven by another person to an H.264 MP4, beside the driver; return the number of frames.

    Args:
        method: a fitted method or a finished edit.
        own: the capture that it was fitted on.
        driver: the capture of the driving person.
        frames: the greatest number of frames, from the start; None takes all frames with a face.
        path: the video file; it is written whole or not at all.

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
    """Write frames ``uint8 [H, W, 3]``, H and W even, as an H.264 video; ``path`` appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures, H264, fps)
