"""Beards: shells of strands over the skin of jaw and lips, because MakeHuman's base assets contain none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emo_bench.tracking.fit_landmarks import landmark_places
from emo_bench.tracking.head_rig import load_head_rig

BEARD_PX = 1024
EDGE_PX = 6.0
STYLES = ("stubble", "full beard", "moustache", "goatee")
# MediaPipe landmarks, from the subject's right ear along the jaw to the left and back under the nose.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
CHEEKS = (401, 435, 427, 436, 426, 391, 393, 164, 167, 165, 206, 216, 207, 215, 177)
MOUSTACHE = (61, 216, 206, 165, 167, 164, 393, 391, 426, 436, 291, 269, 0, 39)
CHIN = (61, 206, 165, 167, 164, 393, 391, 426, 291, 422, 424, 418, 262, 369, 377, 152, 148, 140, 32, 194, 204, 202)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# How far the beard extends below the jaw, as a share of the distance from the mouth to the jaw's edge.
UNDER_JAW = 0.12
# Heights of the shells above the skin in metres, and the density of each.
SHELLS: dict[str, tuple[tuple[float, ...], float]] = {
    "stubble": ((0.0006,), 0.38),
    "full beard": ((0.001, 0.003, 0.005, 0.007), 0.6),
    "moustache": ((0.001, 0.0025, 0.004), 0.8),
    "goatee": ((0.001, 0.0025, 0.0045), 0.6),
}


@dataclass(frozen=True)
class Beard:
    """A beard: one of :data:`STYLES`, and a linear RGB tint."""

    style: str
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class BeardShells:
    """Shells over a part of the skin. V vertices, F triangles.

    Attributes:
        base: ``[V]`` base-mesh vertices that carry the shells' vertices.
        height_m: ``[V]`` above the skin.
        faces, face_uv: ``[F, 3]`` and ``[F, 3, 2]``, with the row axis of uv downwards.
        texture: linear RGBA ``[S, S, 4]``: brightness about one, and density.
    """

    base: np.ndarray
    height_m: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    texture: np.ndarray


@lru_cache(maxsize=8)
def _shells(style: str, triangles: _ById, atlas: _ById) -> BeardShells:
    texture = beard_texture(style, triangles.array, atlas.array)
    mask = texture[..., 3]
    columns = np.clip((atlas.array * BEARD_PX).astype(int), 0, BEARD_PX - 1)
    soft = _blurred(mask)
    share = np.zeros(int(triangles.array.max()) + 1)
    np.maximum.at(share, triangles.array, soft[columns[..., 1], columns[..., 0]])
    kept = (share[triangles.array] > 0.02).any(axis=1)
    used = np.unique(triangles.array[kept])
    faces = np.searchsorted(used, triangles.array[kept])
    heights, _ = SHELLS[style]
    full = np.clip(2.0 * share[used], 0.0, 1.0)
    return BeardShells(
        base=np.tile(used, len(heights)),
        height_m=np.concatenate([0.0004 + height * full for height in heights]).astype(np.float32),
        faces=np.concatenate([faces + k * len(used) for k in range(len(heights))]),
        face_uv=np.tile(atlas.array[kept], (len(heights), 1, 1)),
        texture=texture,
    )


@dataclass(frozen=True, eq=False)
class _ById:
    array: np.ndarray

    def __hash__(self) -> int:
        return id(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.array is other.array


def beard_shells(style: str, triangles: np.ndarray, atlas: np.ndarray) -> BeardShells:
    """Build the shells of a style once.

    Args:
        style: one of :data:`STYLES`.
        triangles, atlas: ``[F, 3]`` base-mesh vertices of the head's skin and ``[F, 3, 2]`` their texture coordinates.
    """
    return _shells(style, _ById(triangles), _ById(atlas))


def beard_texture(style: str, triangles: np.ndarray, atlas: np.ndarray) -> np.ndarray:
    """Draw the beard's area in a skin texture, and its strands: float32 ``[BEARD_PX, BEARD_PX, 4]``."""
    from PIL import Image, ImageDraw
    from scipy import ndimage

    place = _landmark_uv(triangles, atlas) * BEARD_PX
    mouth = place[list(LIPS)].mean(axis=0)
    jaw = mouth + (place[list(JAW)] - mouth) * (1.0 + UNDER_JAW)
    outlines = {"moustache": place[list(MOUSTACHE)], "goatee": place[list(CHIN)]}
    outline = outlines.get(style, np.concatenate((jaw, place[list(CHEEKS)])))
    image = Image.new("L", (BEARD_PX, BEARD_PX))
    draw = ImageDraw.Draw(image)
    draw.polygon([(float(x), float(y)) for x, y in outline], 255)
    # Squared, so that a soft edge is thin inside the outline instead of dense outside it.
    grown = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32) / 255.0, EDGE_PX) ** 2
    lips = Image.new("L", (BEARD_PX, BEARD_PX))
    ImageDraw.Draw(lips).polygon([(float(x), float(y)) for x, y in place[list(LIPS)]], 255)
    grown *= 1.0 - ndimage.gaussian_filter(np.asarray(lips, dtype=np.float32) / 255.0, 2.0)
    rng = np.random.default_rng(STYLES.index(style))
    strands = ndimage.gaussian_filter(rng.normal(size=grown.shape), (1.8, 0.9))
    strands /= strands.std()
    _, density = SHELLS[style]
    alpha = np.clip(grown * (density + 0.12 * strands), 0.0, 1.0)
    shade = np.clip(1.0 + 0.2 * strands, 0.3, 1.9)
    return np.concatenate((np.repeat(shade[..., None], 3, axis=-1), alpha[..., None]), axis=-1).astype(np.float32)


def _landmark_uv(triangles: np.ndarray, atlas: np.ndarray) -> np.ndarray:
    """Return texture coordinates of the 478 landmarks ``[478, 2]``; those not on the head's skin are meaningless."""
    rig = load_head_rig()
    corners, weights = landmark_places(rig)
    where = np.zeros((int(max(triangles.max(), rig.base_vertices.max())) + 1, 2))
    where[triangles.reshape(-1)] = atlas.reshape(-1, 2)
    return np.asarray(np.einsum("lk,lkc->lc", weights, where[rig.base_vertices[corners]]))


def _blurred(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(mask, 6.0))
