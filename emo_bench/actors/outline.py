"""Fit to the person's outline what the face does not show: hair, the torso's shape, and the shoulders' motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from emo_bench.actors.foreground import BELIEVED, Cut, Place, rig_silhouette
from emo_bench.actors.track import Track
from emo_bench.tracking.fit import TrackFit, with_shape
from emo_bench.tracking.fit_hair import change_hair, fit_hair
from emo_bench.tracking.fit_outline import Outline
from emo_bench.tracking.fit_shoulders import fit_shoulders, smooth_shoulders
from emo_bench.tracking.fit_torso import change_torso, fit_torso
from emo_bench.tracking.head_rig import load_head_rig

CHIN, NOSE_TIP, EARS = 8, 33, (0, 16)
# Fewer believed masks than this say nothing of a person.
LEAST_MASKS = 3


@dataclass(frozen=True)
class OutlineChange:
    """The change of the rig's head: see ``change_torso`` and ``change_hair``."""

    torso_raise_m: float
    torso_width: float
    hair_height: float
    hair_width: float


def place_of(track: Track, i: int) -> Place:
    """Return where the head of frame ``i`` is in the foreground's masks."""
    scale = track.foreground_px / track.size_px
    points = track.landmarks68[i] * scale
    return Place(
        rig_silhouette(track, i, track.foreground_px),
        chin_y=float(points[CHIN, 1]),
        ears_y=float(points[EARS, 1].min()),
    )


def fit_outline(
    fit: TrackFit, track: Track, frames: np.ndarray, cuts: Mapping[int, tuple[Place, Cut]]
) -> OutlineChange:
    """Fit hair and torso to the believed masks of a few frames spread over the video.

    What fewer than ``LEAST_MASKS`` of them show is left as the face alone gives it.

    Args:
        fit: the fit to the frames with a face, with the rig's own torso and without hair.
        track: the track of the same fit.
        frames: ``[B]``, the frame numbers of ``fit``.
        cuts: where the head is and the person's cut-out at ``foreground_px``, by frame number.
    """
    scale = track.foreground_px / track.size_px
    camera = track.focal_px * scale, (track.center_px[0] * scale, track.center_px[1] * scale)

    def outlines(believed: Mapping[int, float]) -> list[Outline]:
        return [
            Outline(int(np.searchsorted(frames, number)), cut.mask, place.chin_y, place.ears_y)
            for number, (place, cut) in cuts.items()
            if believed[number] >= BELIEVED
        ]

    shoulders = outlines({number: cut.shoulders for number, (_, cut) in cuts.items()})
    crowns = outlines({number: cut.hair for number, (_, cut) in cuts.items()})
    few = LEAST_MASKS if len(cuts) >= LEAST_MASKS else 1
    torso = fit_torso(fit.head, fit.motion, shoulders, *camera) if len(shoulders) >= few else (0.0, 1.0)
    hair = fit_hair(fit.head, fit.motion, crowns, *camera) if len(crowns) >= few else (0.0, 0.0)
    return OutlineChange(*torso, *hair)


def with_outline(fit: TrackFit, change: OutlineChange, frames: np.ndarray, fps: float) -> TrackFit:
    """Return the fit of the same heads with the changed hair and torso."""
    rig = load_head_rig()
    head = change_hair(rig, fit.head, change.hair_height, change.hair_width)
    head = change_torso(rig, head, change.torso_raise_m, change.torso_width)
    return with_shape(fit, head, frames, fps)


def torso_motion(
    track: Track, fps: float, believed: np.ndarray, advance: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Compute ``Track.torso_shift``, ``[T, 3]``, NaN for frames without a face; the track must not have one yet.

    Args:
        believed: ``[T]`` bool, the frames whose mask below the chin is believed. The shoulders of the others are
            interpolated from these; if there is none, the head alone places the shoulders.
        advance: called after each frame with a face.
    """
    rig = load_head_rig()
    side = track.foreground_px
    scale = side / track.size_px
    center_px = (track.center_px[0] * scale, track.center_px[1] * scale)
    valid = track.valid_indices
    used = valid[believed[valid]]
    motion = np.full((len(track), 3), np.nan, dtype=np.float32)
    motion[valid] = 0.0
    shifts = []
    for i in valid:
        if believed[i]:
            mask, nose_y = track.foreground(i, side), float(track.landmarks68[i, NOSE_TIP, 1] * scale)
            shifts.append(fit_shoulders(rig, track.vertices(i), mask, nose_y, track.focal_px * scale, center_px))
        advance()
    if len(used):
        steady = smooth_shoulders(np.array(shifts), used, fps)
        motion[valid] = np.stack([np.interp(valid, used, steady[:, k]) for k in range(3)], axis=1)
    return motion
