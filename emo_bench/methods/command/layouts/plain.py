"""The plain layout: frames, masks and track, as ``transforms*.json`` in NeRF's convention and ``track.npz``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.methods.command.layouts.pictures import frame_name, write_frames_and_masks

# A NeRF camera looks along -z, with y up; an OpenCV camera looks along z, with y down.
OPENCV_FROM_NERF = np.diag([1.0, -1.0, -1.0, 1.0])


def export_training(capture: Capture, train: Sequence[int], folder: Path, size_px: int) -> None:
    """Write ``frames/``, ``masks/``, ``transforms_train.json`` and ``track.npz``."""
    write_frames_and_masks(capture, train, folder / "frames", folder / "masks", size_px)
    write_track(folder / "track.npz", capture, size_px)
    write_transforms(folder / "transforms_train.json", capture, train, size_px, pictures=True)


def export_driving(capture: Capture, indices: Sequence[int], folder: Path, size_px: int) -> None:
    """Write ``transforms_test.json`` and ``track.npz``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_track(folder / "track.npz", capture, size_px)
    write_transforms(folder / "transforms_test.json", capture, indices, size_px, pictures=False)


def write_track(path: Path, capture: Capture, size_px: int) -> None:
    """Write :func:`driving_arrays` as a compressed ``.npz``."""
    arrays: dict[str, Any] = dict(driving_arrays(capture, size_px))
    np.savez_compressed(path, **arrays)


def driving_arrays(capture: Capture, size_px: int) -> dict[str, np.ndarray]:
    """Return the track's arrays for all T frames, in pixels at ``size_px``; NaN where no face was found."""
    track = capture.track
    scale = size_px / capture.size_px
    return {
        "face_found": track.face_found,
        "expression": track.expression,
        "camera_from_head": track.head_pose,
        "body_rotvec": track.body_rotvec,
        "body_translation": track.body_translation,
        "neck_rotvec": track.neck_rotvec,
        "head_rotvec": track.head_rotvec,
        "landmarks68": track.landmarks68 * np.float32(scale),
        "landmarks478": track.landmarks478 * np.float32(scale),
        "intrinsics": intrinsics(capture, size_px),
        "size_px": np.array(size_px),
        "fps": np.array(capture.fps),
    }


def intrinsics(capture: Capture, size_px: int) -> np.ndarray:
    """Return the camera matrix ``[3, 3]`` float64 at ``size_px``; the centre of the top-left pixel is (0.5, 0.5)."""
    track = capture.track
    focal, x, y = (value * size_px / track.size_px for value in (track.focal_px, *track.center_px))
    return np.array([[focal, 0.0, x], [0.0, focal, y], [0.0, 0.0, 1.0]])


def write_transforms(path: Path, capture: Capture, indices: Sequence[int], size_px: int, *, pictures: bool) -> None:
    """Write the cameras of some frames; world coordinates are fixed to the head, in metres: the camera moves."""
    matrix = intrinsics(capture, size_px)
    poses, expressions = capture.track.head_pose.astype(np.float64), capture.track.expression
    frames: list[dict[str, Any]] = []
    for i in indices:
        entry: dict[str, Any] = {"frame": int(i)}
        if pictures:
            entry |= {"file_path": f"frames/{frame_name(i)}", "mask_path": f"masks/{frame_name(i)}"}
        entry["transform_matrix"] = (np.linalg.inv(poses[i]) @ OPENCV_FROM_NERF).tolist()
        entry["expression"] = [round(float(value), 6) for value in expressions[i]]
        frames.append(entry)
    content = {
        "w": size_px,
        "h": size_px,
        "fl_x": matrix[0, 0],
        "fl_y": matrix[1, 1],
        "cx": matrix[0, 2],
        "cy": matrix[1, 2],
        "camera_angle_x": 2.0 * float(np.arctan(size_px / (2.0 * matrix[0, 0]))),
        "frames": frames,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
