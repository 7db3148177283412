"""The part of each ray that may hold content: the shell between the mesh moved inwards and its visual hull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.hull import face_vertices, mouth_triangles, vertex_normals
from baselines.insta.config import InstaConfig
from emo_bench.actors.track import Track
from emo_bench.tracking.head_rig import EXPRESSIONS, HeadRig
from emo_bench.tracking.raycast import RayCaster

# The canonical mouth is slightly open, so that lips, teeth and tongue are at different places.
CANONICAL_JAW_OPEN = 0.4


@dataclass(frozen=True)
class ShellRays:
    """The rays of a frame that enter the shell, K of them.

    Attributes:
        pixels: ``[K]`` int32, row times the picture's side plus column.
        near, far: ``[K]`` float32 metres along the optical axis.
        prior: ``[K]`` float32, depth of the mesh on the face, else 0.
        mouth: ``[K]`` bool, whether the mesh there belongs to the mouth.
        vertices: ``[V, 3]`` float32, the posed mesh.
    """

    pixels: np.ndarray
    near: np.ndarray
    far: np.ndarray
    prior: np.ndarray
    mouth: np.ndarray
    vertices: np.ndarray


def canonical_vertices(rig: HeadRig, track: Track) -> np.ndarray:
    """Return the canonical mesh ``[V, 3]``: the person at rest with a slightly open mouth."""
    opened = CANONICAL_JAW_OPEN * rig.expression_deltas[EXPRESSIONS.index("jawOpen")]
    return np.asarray(track.head.rest_vertices + opened, dtype=np.float32)


class Shell:
    """Finds the rays of any frame of a track that enter the shell, and the depths where they enter and leave it.

    Args:
        rig, track: the tracked mesh.
        extents: ``[V]`` thickness in metres outside the mesh (:func:`baselines.hull.outer_extents`).
        config: resolution and margins.
    """

    def __init__(self, rig: HeadRig, track: Track, extents: np.ndarray, config: InstaConfig) -> None:
        self._rig, self._track, self._config = rig, track, config
        self._distance = (extents + config.shell_margin_m).astype(np.float32)[:, None]
        self._skin, self._hull = RayCaster(rig.faces), RayCaster(rig.faces)
        rest = track.head.rest_vertices
        self.mouth = mouth_triangles(rig, rest)
        self._face = face_vertices(rig, rest)[rig.faces].all(axis=1) & ~self.mouth

    @property
    def reach_m(self) -> float:
        """The greatest distance of a sample from the mesh."""
        return float(self._distance.max()) + self._config.longest_chord_m / 2

    def camera(self) -> tuple[float, tuple[float, float]]:
        """The focal length and the principal point, in pixels at the method's resolution."""
        scale = self._config.resolution_px / self._track.size_px
        return self._track.focal_px * scale, (self._track.center_px[0] * scale, self._track.center_px[1] * scale)

    def rays(self, index: int) -> ShellRays:
        """Return the rays of frame ``index``."""
        config = self._config
        vertices = self._track.vertices(index)
        outer = vertices + self._distance * vertex_normals(vertices, self._rig.faces)
        camera = self.camera()
        face, _, skin = (a.reshape(-1) for a in _flat(self._skin, vertices, camera, config.resolution_px))
        hit, _, hull = (a.reshape(-1) for a in _flat(self._hull, outer, camera, config.resolution_px))
        on_skin = face >= 0
        pixels = np.flatnonzero((hit >= 0) | on_skin)
        face, skin, on_skin = face[pixels], skin[pixels], on_skin[pixels]
        hull = np.where(hit[pixels] >= 0, hull[pixels], np.inf)
        near = np.where(on_skin, np.minimum(hull, skin - config.shell_margin_m), hull)
        far = np.where(on_skin, skin + config.shell_inner_m, near + config.longest_chord_m)
        prior = np.where(on_skin & self._face[face], skin, 0.0)
        mouth = on_skin & self.mouth[face]
        return ShellRays(
            pixels.astype(np.int32),
            near.astype(np.float32),
            far.astype(np.float32),
            prior.astype(np.float32),
            mouth,
            vertices,
        )


def _flat(
    caster: RayCaster, vertices: np.ndarray, camera: tuple[float, tuple[float, float]], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    face, barycentric, depth = caster.cast(vertices, *camera, size)
    return face.copy(), barycentric, depth.copy()


def pixel_directions(pixels: np.ndarray, size: int, focal_px: float, center_px: tuple[float, float]) -> np.ndarray:
    """Return directions ``[K, 3]`` float32 with depth 1 through the centres of pixels (row * ``size`` + column)."""
    rows, columns = np.divmod(pixels, size)
    x = (columns + 0.5 - center_px[0]) / focal_px
    y = (rows + 0.5 - center_px[1]) / focal_px
    return np.stack((x, y, np.ones_like(x)), axis=1).astype(np.float32)
