"""Fit a person to the landmarks of a video: identity, focal length and the motion of every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emo_bench.tracking.fit_landmarks import load_landmark_model
from emo_bench.tracking.fit_motion import BodyMotion, smooth_heads, split_motion
from emo_bench.tracking.fit_solver import (
    HeadFit,
    Observation,
    Person,
    fit_heads,
    fit_offset,
    fit_person,
    place_heads,
    reprojection_errors,
)
from emo_bench.tracking.fit_threads import one_thread
from emo_bench.tracking.head_rig import Head, load_head_rig
from emo_bench.tracking.landmarks import inter_ocular_px

KEY_FRAMES = 24
OFFSET_ROUNDS = 2
# A focal length of 1.3 picture widths is a view angle of 42 degrees, between a webcam (60) and a portrait lens (25).
FOCAL_PRIOR_SHARE = 1.3


@dataclass(frozen=True)
class TrackFit:
    """The result of fitting B frames.

    Attributes:
        head: the person's shape at rest.
        focal_px: focal length in the pixels of the landmarks.
        heads: poses of the rigid heads and their expression ``[B, 52]`` in [0, 1].
        motion: poses of torso, neck and head.
        errors: ``[B]``, mean reprojection error of the 478 landmarks as a share of the inter-ocular distance.
    """

    head: Head
    focal_px: float
    heads: HeadFit
    motion: BodyMotion
    errors: np.ndarray


@one_thread()
def fit_track(
    landmarks: np.ndarray,
    blendshapes: np.ndarray,
    matrices: np.ndarray,
    frames: np.ndarray,
    *,
    picture_px: tuple[int, int],
    fps: float,
    advance: Callable[..., None] | None = None,
) -> TrackFit:
    """Fit identity, focal length and motion to MediaPipe's output of the frames that have a face.

    Args:
        landmarks: ``[B, 478, 2]`` px in the whole picture.
        blendshapes: ``[B, 52]`` in [0, 1].
        matrices: ``[B, 4, 4]``, MediaPipe's head matrices; only their rotations are used, as initial values.
        frames: ``[B]`` ascending frame numbers.
        picture_px: width and height; the principal point is the picture's centre.
        fps: frame rate, for the smoothing windows.
        advance: function that is called with the number of processed frames.
    """
    seen = Observation(
        landmarks=landmarks,
        blendshapes=np.clip(blendshapes.astype(np.float64), 0.0, 1.0),
        scale_px=np.full(len(landmarks), float(np.median(inter_ocular_px(landmarks)))),
        center_px=np.array(picture_px, dtype=np.float64) / 2.0,
    )
    rotations = rotations_from_mediapipe(matrices)
    rows = key_rows(rotations, seen.blendshapes, KEY_FRAMES)
    person = fit_identity(rotations[rows], seen[rows], FOCAL_PRIOR_SHARE * max(picture_px))
    parts = []
    for part in seen.parts():
        heads = place_heads(person, rotations[part], seen.blendshapes[part], seen[part])
        parts.append(fit_heads(person, heads, seen[part], iterations=5))
        if advance is not None:
            advance(len(parts[-1]))
    heads = HeadFit(
        np.concatenate([p.rotation for p in parts]),
        np.concatenate([p.translation for p in parts]),
        np.concatenate([p.expression for p in parts]),
    )
    heads = smooth_heads(person, heads, seen, frames, fps)
    head = load_head_rig().head_from_identity(person.coefficients)
    motion = split_motion(heads, head.joints.astype(np.float64), frames, fps)
    errors = reprojection_errors(person, heads, seen)
    return TrackFit(head, person.focal_px, heads, motion, errors)


def with_shape(fit: TrackFit, head: Head, frames: np.ndarray, fps: float) -> TrackFit:
    """Split the same heads' motion again into torso, neck and head, after the torso or neck has changed."""
    motion = split_motion(fit.heads, head.joints.astype(np.float64), frames, fps)
    return replace(fit, head=head, motion=motion)


@one_thread()
def fit_identity(rotations: np.ndarray, seen: Observation, focal_prior_px: float) -> Person:
    """Fit the person to key frames: pose first, then everything, then landmark offsets and pose in alternation.

    Identity is not fitted again after the offsets, because they would absorb what the shape should explain.
    """
    model = load_landmark_model()
    person = Person(np.zeros(len(model.identity)), focal_prior_px, model)
    heads = place_heads(person, rotations, seen.blendshapes, seen)
    heads = fit_heads(person, heads, seen, with_expression=False)
    person, heads = fit_person(person, heads, seen, focal_prior_px)
    for _ in range(OFFSET_ROUNDS):
        person = fit_offset(person, heads, seen)
        heads = fit_heads(person, heads, seen)
    return person


def rotations_from_mediapipe(matrices: np.ndarray) -> np.ndarray:
    """Convert MediaPipe head matrices (y up, z to the viewer) to rotations ``[B, 3, 3]`` of the rig in camera space."""
    flip = np.diag((1.0, -1.0, -1.0))
    left, _, right = np.linalg.svd(flip @ matrices[:, :3, :3].astype(np.float64) @ flip)
    return np.asarray(left @ right)


def key_rows(rotations: np.ndarray, blendshapes: np.ndarray, count: int) -> np.ndarray:
    """Choose up to ``count`` rows that cover head pose and expression, by farthest-point sampling."""
    looks = rotations[:, :, 2]
    features = np.concatenate((4.0 * looks, blendshapes), axis=1)
    chosen = [int(np.linalg.norm(features - np.median(features, axis=0), axis=1).argmin())]
    distance = np.full(len(features), np.inf)
    while len(chosen) < min(count, len(features)):
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.sort(np.array(chosen))
