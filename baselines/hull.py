"""The thickness of a person's hair and clothes outside the tracked mesh: a visual hull along the mesh's normals.

The head rig is a body without hair and clothes. These lie between the mesh and the silhouettes of the training frames.
A vertex is therefore moved outwards along its normal as long as it stays inside the silhouettes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.actors.track import Track
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.tracking.head_rig import HeadRig

# MediaPipe's landmarks cover the face without forehead and ears; skin within this distance of them counts as face.
FACE_RADIUS_M = 0.015
LIP_RADIUS_M = 0.008
# A vertex counts as inside the person if it is inside in this share of the frames, because masks have errors.
INSIDE_SHARE = 0.92
# Where the resting mesh faces the camera, silhouettes do not show the thickness of hair and clothes.
FRONT_COSINE, FRONT_M = 0.6, 0.02
LIP_LANDMARKS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return outward unit normals ``[V, 3]`` of a mesh, each triangle weighted by its area."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def near_landmarks(rig: HeadRig, rest: np.ndarray, landmarks: Sequence[int], radius_m: float) -> np.ndarray:
    """Return vertices ``[V]`` bool within ``radius_m`` of any of MediaPipe's ``landmarks`` on the resting mesh."""
    from scipy.spatial import KDTree

    chosen = np.asarray(landmarks)
    corners = rest[rig.landmark_vertices[chosen]]
    points = np.einsum("nc,ncd->nd", rig.landmark_barycentric[chosen], corners)
    distance, _ = KDTree(points).query(rest)
    return np.asarray(distance < radius_m)


def face_vertices(rig: HeadRig, rest: np.ndarray) -> np.ndarray:
    """Return vertices ``[V]`` bool of the face, with the inner parts of eyes and mouth."""
    inner = np.zeros(len(rest), dtype=bool)
    inner[rig.faces[rig.face_region >= 2]] = True
    return near_landmarks(rig, rest, range(468), FACE_RADIUS_M) | inner


def mouth_triangles(rig: HeadRig, rest: np.ndarray) -> np.ndarray:
    """Return triangles ``[F]`` bool of lips, tongue and the cavity behind them."""
    lips = near_landmarks(rig, rest, LIP_LANDMARKS, LIP_RADIUS_M)
    return np.asarray(lips[rig.faces].all(axis=1) | (rig.face_region >= 6))


@lru_cache(maxsize=2)
def _neighbours(rig: HeadRig) -> tuple[np.ndarray, np.ndarray]:
    """Return the directed edges of the mesh."""
    pairs = np.concatenate([rig.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    return pairs[:, 0], pairs[:, 1]


def outer_extents(
    rig: HeadRig,
    capture: Capture,
    train: Sequence[int],
    size_px: int,
    *,
    face_m: float,
    farthest_m: float,
    samples: int = 32,
) -> np.ndarray:
    """Return how far each vertex can be moved along its normal and stay inside the person's silhouettes.

    Args:
        rig: the mesh.
        capture: only track and foreground masks of ``train`` are read.
        train: training frames.
        size_px: side of the masks.
        face_m: the greatest distance on the face, where nothing covers the skin and silhouettes show little.
        farthest_m: the greatest distance that is tried.
        samples: number of frames that are read.

    Returns:
        ``[V]`` float32 metres, in ``[0, farthest_m]``, smoothed over neighbouring vertices.
    """
    from scipy import ndimage

    track = capture.track
    steps = np.linspace(farthest_m / 12, farthest_m, 12)
    inside = np.zeros((len(steps), len(rig.base_vertices)))
    seen = np.zeros_like(inside)
    for i in evenly_spaced(train, samples):
        mask = ndimage.binary_dilation(track.foreground(int(i), size_px), np.ones((3, 3), dtype=bool))
        vertices = track.vertices(int(i))
        normals = vertex_normals(vertices, rig.faces)
        for row, step in enumerate(steps):
            known, hit = _lookup(mask, project_numpy(track, vertices + step * normals, size_px))
            seen[row] += known
            inside[row] += hit
    share = inside / np.maximum(seen, 1)
    held = np.logical_and.accumulate((share >= INSIDE_SHARE) & (seen > 0), axis=0)
    extents = np.where(held, steps[:, None], 0.0).max(axis=0)
    rest = track.head.rest_vertices
    front = -vertex_normals(rest, rig.faces)[:, 2] > FRONT_COSINE
    extents[front] = np.minimum(extents[front], FRONT_M)
    extents[face_vertices(rig, rest)] = face_m
    return _smoothed(extents, *_neighbours(rig)).astype(np.float32)


def project_numpy(track: Track, points: np.ndarray, size_px: int) -> np.ndarray:
    """Project camera-space points ``[N, 3]`` to pixels ``[N, 2]`` at ``size_px``."""
    scale = size_px / track.size_px
    return np.asarray(points[:, :2] / points[:, 2:] * (track.focal_px * scale) + np.asarray(track.center_px) * scale)


def _lookup(mask: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each pixel position is in the picture, and whether it is in the mask."""
    column, row = np.floor(pixels).astype(np.int64).T
    known = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
    hit = np.zeros_like(known)
    hit[known] = mask[row[known], column[known]]
    return known, hit


def _smoothed(values: np.ndarray, start: np.ndarray, end: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Average over neighbours several times, so that a shell at this distance has no spikes."""
    count = np.bincount(start, minlength=len(values)) + 1
    for _ in range(rounds):
        total = values + np.bincount(start, weights=values[end], minlength=len(values))
        values = total / count
    return values
