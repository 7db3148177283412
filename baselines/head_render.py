"""Shaded colour renderings, texture coordinates and normals of the tracked head, as conditioning of image networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.actors.track import Track
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.tracking.raycast import RayCaster

# Range of light relative to the mean; values outside it are errors of the fit at rarely seen normals.
SHADING_RANGE = (0.25, 2.5)
LOOK_PASSES = 2
# Strength of the regularisation towards even light, as a number of pixels.
LIGHT_PRIOR_PX = 200.0


@dataclass(frozen=True)
class Surface:
    """The point of the rig that each pixel of a frame shows; zero off the surface.

    Attributes:
        uv: ``[S, S, 2]`` float32 in [0, 1].
        mask: ``[S, S]`` bool.
        normal: ``[S, S, 3]`` float32, unit length, camera space.
    """

    uv: np.ndarray
    mask: np.ndarray
    normal: np.ndarray


@dataclass(frozen=True)
class HeadLook:
    """Colour and light of a person: ``texture [T, T, 3]`` float32 in [0, 1], ``light [9]`` float32 (SH to degree 2)."""

    texture: np.ndarray
    light: np.ndarray


class HeadSurface:
    """Casts rays from the pixels of any frame of a track onto the posed rig.

    A frame without a face shows the head of the last frame before it that has one.

    Args:
        track: the track of the capture.
        size_px: side of the maps.
    """

    def __init__(self, track: Track, size_px: int) -> None:
        self._track, self._size, self._rig = track, size_px, load_head_rig()
        self._caster = RayCaster(self._rig.faces)
        self._shown = last_with_face(track.face_found)

    def at(self, index: int) -> Surface:
        """Return the surface in frame ``index``."""
        size, rig, track = self._size, self._rig, self._track
        vertices = track.vertices(int(self._shown[index]))
        scale = size / track.size_px
        center_px = (track.center_px[0] * scale, track.center_px[1] * scale)
        face, barycentric, _ = self._caster.cast(vertices, track.focal_px * scale, center_px, size)
        mask = face >= 0
        uv, normal = np.zeros((size, size, 2), np.float32), np.zeros((size, size, 3), np.float32)
        seen, weights = face[mask], barycentric[mask]
        uv[mask] = np.clip(np.einsum("nc,ncd->nd", weights, rig.face_uv[seen]), 0.0, 1.0)
        smooth = np.einsum("nc,ncd->nd", weights, _vertex_normals(vertices, rig.faces)[rig.faces[seen]])
        normal[mask] = smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
        return Surface(uv, mask, normal)


def last_with_face(face_found: np.ndarray) -> np.ndarray:
    """Return ``[T]`` int64: each frame, or the last one before it with a face, or else the first with a face."""
    whole = np.where(face_found, np.arange(len(face_found)), -1)
    return np.asarray(np.where((last := np.maximum.accumulate(whole)) < 0, np.argmax(face_found), last))


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return ``[V, 3]``: the area-weighted mean normal of the triangles around each vertex, not normalised."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    count = len(vertices)
    sums = [np.bincount(faces.ravel(), np.repeat(normals[:, axis], 3), count) for axis in range(3)]
    return np.stack(sums, axis=1)


def harmonics(normal: np.ndarray) -> np.ndarray:
    """Return real spherical harmonics up to degree 2, without their constants: ``[..., 3]`` to ``[..., 9]``."""
    x, y, z = np.moveaxis(normal, -1, 0)
    one = np.ones_like(x)
    return np.stack((one, x, y, z, x * y, y * z, x * z, x * x - y * y, 3.0 * z * z - 1.0), axis=-1)


def shading(light: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the irradiance ``[..., 1]`` of normals ``[..., 3]`` relative to the mean, clipped to ``SHADING_RANGE``."""
    return np.asarray(np.clip(harmonics(normal) @ light, *SHADING_RANGE)[..., None], dtype=np.float32)


def fit_look(capture: Capture, train: Sequence[int], size_px: int, texture_px: int, samples: int) -> HeadLook:
    """Estimate the colour texture and one light of a person, only from training frames.

    Texture and light are computed in turns. A texel of the texture is its mean colour divided by its shading. The light
    is the least-squares solution for the texture. A texel that is never seen gets the value of the nearest one.

    Args:
        capture: a capture in which at least ``train`` is readable.
        train: the training frames.
        size_px: side to which frames are resized.
        texture_px: side of the texture.
        samples: number of frames that are read, evenly spaced.
    """
    chosen = evenly_spaced(train, samples)
    surfaces = HeadSurface(capture.track, size_px)
    colours, texels, normals = [], [], []
    for index, frame in zip(chosen, capture.frames(chosen, size=size_px), strict=True):
        surface = surfaces.at(int(index))
        mask = surface.mask
        place = np.minimum((surface.uv[mask] * texture_px).astype(np.int64), texture_px - 1)
        colours.append(frame[mask].astype(np.float32) / 255.0)
        texels.append(place[:, 1] * texture_px + place[:, 0])
        normals.append(surface.normal[mask])
    colour, texel, normal = (np.concatenate(parts) for parts in (colours, texels, normals))
    basis = harmonics(normal)
    light = np.zeros(9, np.float32)
    light[0] = 1.0
    for _ in range(LOOK_PASSES):
        texture = _mean_texture(colour / shading(light, normal), texel, texture_px)
        light = _fitted_light(basis, texture.reshape(-1, 3)[texel].mean(axis=1), colour.mean(axis=1))
    texture = _mean_texture(colour / shading(light, normal), texel, texture_px)
    return HeadLook(np.clip(texture, 0.0, 1.0).astype(np.float32), light)


def _fitted_light(basis: np.ndarray, albedo: np.ndarray, seen: np.ndarray) -> np.ndarray:
    rows = basis * albedo[:, None]
    even = np.zeros(9)
    even[0] = 1.0
    pull = LIGHT_PRIOR_PX * np.eye(9)
    light = np.linalg.solve(rows.T @ rows + pull, rows.T @ seen + pull @ even)
    return np.asarray(light, dtype=np.float32)


def _mean_texture(colour: np.ndarray, texel: np.ndarray, size: int) -> np.ndarray:
    from scipy import ndimage

    counts = np.bincount(texel, minlength=size * size)
    sums = [np.bincount(texel, colour[:, axis], size * size) for axis in range(3)]
    texture = (np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]).reshape(size, size, 3)
    rows, columns = ndimage.distance_transform_edt(
        counts.reshape(size, size) == 0, return_distances=False, return_indices=True
    )
    return np.asarray(texture[rows, columns], dtype=np.float32)


def shaded(look: HeadLook, surface: Surface) -> np.ndarray:
    """Render the illuminated colours ``[S, S, 3]`` uint8; black off the surface."""
    from emo_bench.system import opencv as cv2

    side = len(look.texture)
    # In OpenCV coordinate 0 is the centre of the first texel.
    places = surface.uv * side - 0.5
    albedo = cv2.remap(
        look.texture,
        np.ascontiguousarray(places[..., 0]),
        np.ascontiguousarray(places[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    lit = np.clip(albedo * shading(look.light, surface.normal), 0.0, 1.0) * surface.mask[..., None]
    return np.asarray(np.rint(lit * 255.0), dtype=np.uint8)
