"""Fit to the person's outline what the face does not show: hair, the torso's shape, and the shoulders' motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from emo_bench.actors.track import Track
from emo_bench.tracking.fit import TrackFit, with_shape
from emo_bench.tracking.fit_hair import change_hair, fit_hair
from emo_bench.tracking.fit_outline import Outline
from emo_bench.tracking.fit_shoulders import fit_shoulders, smooth_shoulders
from emo_bench.tracking.fit_torso import change_torso, fit_torso
from emo_bench.tracking.head_rig import load_head_rig

CHIN, NOSE_TIP, EARS = 8, 33, (0, 16)


@dataclass(frozen=True)
class OutlineChange:
    """The change of the rig's head: see ``change_torso`` and ``change_hair``."""

    torso_raise_m: float
    torso_width: float
    hair_height: float
    hair_width: float


def chin_y(track: Track, i: int) -> float:
    """Return the chin's height in frame ``i``, px in the foreground's masks."""
    return float(track.landmarks68[i, CHIN, 1] * track.foreground_px / track.size_px)


def fit_outline(fit: TrackFit, track: Track, frames: np.ndarray, masks: Mapping[int, np.ndarray]) -> OutlineChange:
    """Fit hair and torso to the masks of a few frames spread over the video.

    Args:
        fit: the fit to the frames with a face, with the rig's own torso and without hair.
        track: the track of the same fit.
        frames: ``[B]``, the frame numbers of ``fit``.
        masks: ``[S, S]`` bool at ``foreground_px``, by frame number.
    """
    scale = track.foreground_px / track.size_px
    outlines = [
        Outline(
            row=int(np.searchsorted(frames, number)),
            mask=mask,
            chin_y=chin_y(track, number),
            ears_y=float(track.landmarks68[number, EARS, 1].min() * scale),
        )
        for number, mask in masks.items()
    ]
    camera = track.focal_px * scale, (track.center_px[0] * scale, track.center_px[1] * scale)
    torso = fit_torso(fit.head, fit.motion, outlines, *camera)
    hair = fit_hair(fit.head, fit.motion, outlines, *camera)
    return OutlineChange(*torso, *hair)


def with_outline(fit: TrackFit, change: OutlineChange, frames: np.ndarray, fps: float) -> TrackFit:
    """Return the fit of the same heads with the changed hair and torso."""
    rig = load_head_rig()
    head = change_hair(rig, fit.head, change.hair_height, change.hair_width)
    head = change_torso(rig, head, change.torso_raise_m, change.torso_width)
    return with_shape(fit, head, frames, fps)


def torso_motion(track: Track, fps: float, advance: Callable[[], None] = lambda: None) -> np.ndarray:
    """Compute ``Track.torso_shift``, ``[T, 3]``, NaN for frames without a face; the track must not have one yet.

    ``advance`` is called after each frame with a face.
    """
    rig = load_head_rig()
    side = track.foreground_px
    scale = side / track.size_px
    center_px = (track.center_px[0] * scale, track.center_px[1] * scale)
    valid = track.valid_indices
    shifts = []
    for i in valid:
        mask, nose_y = track.foreground(i, side), float(track.landmarks68[i, NOSE_TIP, 1] * scale)
        shifts.append(fit_shoulders(rig, track.vertices(i), mask, nose_y, track.focal_px * scale, center_px))
        advance()
    motion = np.full((len(track), 3), np.nan, dtype=np.float32)
    motion[valid] = smooth_shoulders(np.array(shifts), valid, fps)
    return motion
