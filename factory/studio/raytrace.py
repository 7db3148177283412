"""The ray tracer: one Warp kernel that shades textured, partly transparent meshes under soft light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from emo_bench.tracking.raycast import warp

# Kinds of surface in the kernel.
SKIN, HAIR, EYE, CLOTH, TOOTH, MOUTH = range(6)


@dataclass(frozen=True)
class Light:
    """Key light, fill light and room light; colours are linear RGB, directions point to the light."""

    key_direction: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill_colour: tuple[float, float, float]
    sky_colour: tuple[float, float, float]
    ground_colour: tuple[float, float, float]


@dataclass(frozen=True)
class Surfaces:
    """The data that do not change from frame to frame. F triangles, P parts.

    Attributes:
        faces: ``[F, 3]`` int32.
        face_uv: ``[F, 3, 2]`` float32, with the row axis downwards.
        face_part: ``[F]`` int32.
        kind: ``[P]`` int32.
        tint: ``[P, 3]`` float32, multiplies the texture.
        ambient: ``[P]`` float32, the share of room light that reaches the part.
        texture_offset, texture_px: ``[P]`` int32, the position and side of each part's square texture in ``texels``.
        texels: ``[N, 4]`` float32, linear RGBA, or the store that holds the textures.
    """

    faces: np.ndarray
    face_uv: np.ndarray
    face_part: np.ndarray
    kind: np.ndarray
    tint: np.ndarray
    ambient: np.ndarray
    texture_offset: np.ndarray
    texture_px: np.ndarray
    texels: np.ndarray | TexelStore


@dataclass(frozen=True)
class View:
    """Where a camera stands in the space of person and lights, which is the space of the camera that filmed.

    Attributes:
        turn: ``[3, 3]``, the rotation from the axes of this camera to those of the space.
        place: ``[3]``, the camera's position in metres.
    """

    turn: np.ndarray
    place: np.ndarray


FILMED = View(np.eye(3), np.zeros(3))


class TexelStore:
    """The textures of many people in one array; each is copied to the tracer's memory only once."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._offsets: dict[int, int] = {}
        self._used = 0
        self._array: Any = None

    def place(self, texture: np.ndarray) -> int:
        """Store a texture ``[S, S, 4]``, identified by its id, and return the index of its first texel."""
        if id(texture) not in self._offsets:
            self._kept.append(texture)  # keeps the array alive, so that no other one gets this id
            self._offsets[id(texture)] = self._used
            self._used += texture.shape[0] * texture.shape[1]
            self._array = None
        return self._offsets[id(texture)]

    def array(self) -> Any:
        """Return all texels as a Warp array of vec4."""
        if self._array is None:
            wp = warp()
            texels = np.concatenate([texture.reshape(-1, 4) for texture in self._kept]).astype(np.float32)
            self._array = wp.array(texels, dtype=wp.vec4, device="cpu")
        return self._array


@lru_cache(maxsize=1)
def _kernel() -> Any:
    wp = warp()
    skin, hair, eye, tooth = (wp.constant(kind) for kind in (SKIN, HAIR, EYE, TOOTH))

    @wp.func
    def texel(texels: wp.array(dtype=wp.vec4), offset: int, size: int, uv: wp.vec2) -> wp.vec4:
        x = (uv[0] - wp.floor(uv[0])) * float(size) - 0.5
        y = (uv[1] - wp.floor(uv[1])) * float(size) - 0.5
        x0 = int(wp.floor(x))
        y0 = int(wp.floor(y))
        fx = x - float(x0)
        fy = y - float(y0)
        xa = wp.clamp(x0, 0, size - 1)
        xb = wp.clamp(x0 + 1, 0, size - 1)
        ya = wp.clamp(y0, 0, size - 1) * size + offset
        yb = wp.clamp(y0 + 1, 0, size - 1) * size + offset
        top = texels[ya + xa] * (1.0 - fx) + texels[ya + xb] * fx
        bottom = texels[yb + xa] * (1.0 - fx) + texels[yb + xb] * fx
        return top * (1.0 - fy) + bottom * fy

    @wp.func
    def diffuse(normal: wp.vec3, direction: wp.vec3, wrap: float) -> float:
        return wp.max((wp.dot(normal, direction) + wrap) / (1.0 + wrap), 0.0)

    @wp.kernel
    def trace(
        mesh: wp.uint64,
        indices: wp.array(dtype=wp.int32),
        normals: wp.array(dtype=wp.vec3),
        face_uv: wp.array(dtype=wp.vec2),
        face_part: wp.array(dtype=wp.int32),
        kind: wp.array(dtype=wp.int32),
        tint: wp.array(dtype=wp.vec3),
        ambient: wp.array(dtype=float),
        texture_offset: wp.array(dtype=wp.int32),
        texture_px: wp.array(dtype=wp.int32),
        texels: wp.array(dtype=wp.vec4),
        background: wp.array(dtype=wp.vec3),
        light: wp.array(dtype=wp.vec3),
        focal_px: float,
        center: wp.vec2,
        turn: wp.mat33,
        stand: wp.vec3,
        size: int,
        samples: int,
        part_layer: wp.array(dtype=wp.int32),
        layer_count: int,
        picture: wp.array(dtype=wp.vec3),
        coverage: wp.array(dtype=float),
        layers: wp.array(dtype=wp.vec3),
    ):
        i = wp.tid()
        column = i % size
        row = i // size
        total = wp.vec3(0.0, 0.0, 0.0)
        covered = wp.float32(0.0)
        key = light[0]
        fill = light[2]
        for s in range(samples):
            # A rotated grid: sample s is in its own row and its own column of the pixel.
            jx = (float((s * 2 + 1) % samples) + 0.5 + 0.25 * float((s * 2) // samples)) / float(samples)
            jy = (float(s) + 0.5) / float(samples)
            x = (float(column) + jx - center[0]) / focal_px
            y = (float(row) + jy - center[1]) / focal_px
            direction = turn * wp.normalize(wp.vec3(x, y, 1.0))
            origin = stand
            clear = wp.float32(1.0)
            colour = wp.vec3(0.0, 0.0, 0.0)
            for _hit in range(12):
                if clear > 0.02:
                    hit = wp.mesh_query_ray(mesh, origin, direction, 10.0)
                    if not hit.result:
                        break
                    point = origin + direction * hit.t
                    u = hit.u
                    v = hit.v
                    w = 1.0 - u - v
                    f = hit.face
                    part = face_part[f]
                    surface = kind[part]
                    uv = face_uv[f * 3] * u + face_uv[f * 3 + 1] * v + face_uv[f * 3 + 2] * w
                    sample = texel(texels, texture_offset[part], texture_px[part], uv)
                    alpha = wp.float32(1.0)
                    if surface == hair:
                        alpha = wp.clamp(sample[3] * 1.15, 0.0, 1.0)
                    if alpha > 0.01:
                        n = wp.normalize(
                            normals[indices[f * 3]] * u
                            + normals[indices[f * 3 + 1]] * v
                            + normals[indices[f * 3 + 2]] * w
                        )
                        if wp.dot(n, direction) > 0.0 and surface != hair:
                            n = -n
                        base = wp.cw_mul(wp.vec3(sample[0], sample[1], sample[2]), tint[part])
                        lit = wp.float32(1.0)
                        if wp.dot(n, key) > -0.2 and surface != hair:
                            shade = wp.mesh_query_ray(mesh, point + n * 0.003 + key * 0.003, key, 0.5)
                            if shade.result:
                                lit = wp.float32(0.0)
                                if kind[face_part[shade.face]] == hair:
                                    lit = 0.4
                        open_sky = wp.float32(1.0)
                        if surface == eye:
                            # The upper lid shields the eyeball below it from the room light.
                            lid = wp.mesh_query_ray(mesh, point + n * 0.0006, wp.vec3(0.0, -0.94, -0.342), 0.009)
                            if lid.result:
                                open_sky = 0.5 + 0.5 * lid.t / 0.009
                        wrap = wp.float32(0.15)
                        if surface == skin:
                            wrap = 0.35
                        if surface == hair:
                            wrap = 0.5
                        k = diffuse(n, key, wrap)
                        shine = wp.vec3(0.0, 0.0, 0.0)
                        half = wp.normalize(key - direction)
                        glint = wp.max(wp.dot(n, half), 0.0)
                        if surface == skin:
                            shine = light[1] * (0.05 * wp.pow(glint, 18.0) * lit)
                            # Light that scatters past the terminator leaves the skin reddish.
                            edge = wp.clamp(k * 2.0, 0.0, 1.0)
                            base = wp.cw_mul(base, wp.vec3(1.0, 0.86 + 0.14 * edge, 0.82 + 0.18 * edge))
                        if surface == hair:
                            shine = wp.cw_mul(light[1], base) * (0.25 * wp.pow(glint, 12.0) * lit)
                        if surface == eye:
                            shine = light[1] * (0.8 * wp.pow(glint, 260.0) * open_sky)
                        if surface == tooth:
                            shine = light[1] * (0.12 * wp.pow(glint, 40.0) * lit)
                        up = 0.5 - 0.5 * n[1]
                        room = light[4] * up + light[5] * (1.0 - up)
                        incoming = light[1] * (k * lit) + light[3] * diffuse(n, fill, 0.3) + room
                        incoming = incoming * (ambient[part] * open_sky)
                        here = wp.cw_mul(base, incoming) + shine
                        colour = colour + here * (clear * alpha)
                        if layer_count > 0:
                            place = i * layer_count + part_layer[part]
                            layers[place] = layers[place] + here * (clear * alpha / float(samples))
                        clear = clear * (1.0 - alpha)
                    origin = point + direction * 0.00002
            total = total + colour + background[i] * clear
            covered = covered + (1.0 - clear)
        picture[i] = total / float(samples)
        coverage[i] = covered / float(samples)

    return trace


class RayTracer:
    """Renders one set of surfaces whose vertices and normals move.

    Args:
        surfaces: the meshes and materials.
    """

    def __init__(self, surfaces: Surfaces) -> None:
        wp = warp()
        self._mesh: Any = None

        def array(values: np.ndarray, dtype: Any) -> Any:
            return wp.array(np.ascontiguousarray(values), dtype=dtype, device="cpu")

        self._indices = array(surfaces.faces.reshape(-1).astype(np.int32), wp.int32)
        self._fixed = [
            array(surfaces.face_part.astype(np.int32), wp.int32),
            array(surfaces.kind.astype(np.int32), wp.int32),
            array(surfaces.tint.astype(np.float32), wp.vec3),
            array(surfaces.ambient.astype(np.float32), float),
            array(surfaces.texture_offset.astype(np.int32), wp.int32),
            array(surfaces.texture_px.astype(np.int32), wp.int32),
            surfaces.texels.array()
            if isinstance(surfaces.texels, TexelStore)
            else array(surfaces.texels.astype(np.float32), wp.vec4),
        ]

    def render(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        face_uv: np.ndarray,
        light: Light,
        background: np.ndarray,
        focal_px: float,
        center_px: tuple[float, float],
        samples: int = 4,
        view: View = FILMED,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Trace a frame.

        Args:
            vertices, normals: ``[V, 3]`` float32, in the space of the camera that filmed.
            face_uv: ``[F, 3, 2]``.
            background: ``[S, S, 3]`` linear RGB; its size is that of the picture. It is the same in every view.
            samples: rays per pixel.
            view: another camera than the one that filmed.

        Returns:
            The picture, uint8 sRGB ``[S, S, 3]``, and the share of each pixel that the person covers, float32 ``[S,
            S]``.
        """
        size, camera = background.shape[0], (focal_px, center_px, samples, view)
        linear, coverage, _ = self._trace(vertices, normals, face_uv, light, background, camera)
        return to_srgb_u8(linear.reshape(size, size, 3)), coverage.reshape(size, size)

    def render_layers(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        face_uv: np.ndarray,
        light: Light,
        focal_px: float,
        center_px: tuple[float, float],
        size_px: int,
        part_layer: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Trace a frame, and keep the light from each layer of parts apart: their sum is the person before black.

        A layer of hair or cloth is proportional to its tint, so that other tints need no other trace.

        Args:
            vertices, normals, face_uv, light, focal_px, center_px: as for :meth:`render`.
            size_px: side of the picture.
            part_layer: the number of each part's layer.

        Returns:
            Linear light, float32 ``[L, S, S, 3]``, and the coverage, float32 ``[S, S]``.
        """
        black = np.zeros((size_px, size_px, 3), dtype=np.float32)
        camera = (focal_px, center_px, 4, FILMED)
        _, coverage, layers = self._trace(vertices, normals, face_uv, light, black, camera, part_layer)
        apart = layers.reshape(size_px, size_px, -1, 3).transpose(2, 0, 1, 3)
        return np.ascontiguousarray(apart), coverage.reshape(size_px, size_px)

    def _trace(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        face_uv: np.ndarray,
        light: Light,
        background: np.ndarray,
        camera: tuple[float, tuple[float, float], int, View],
        part_layer: Sequence[int] = (),
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        wp = warp()
        points = np.ascontiguousarray(vertices, dtype=np.float32)
        if self._mesh is None:
            self._mesh = wp.Mesh(wp.array(points, dtype=wp.vec3, device="cpu"), self._indices)
        else:
            self._mesh.points.assign(points)
            self._mesh.refit()
        size = background.shape[0]
        lights = np.array(
            [light.key_direction, light.key_colour, light.fill_direction, light.fill_colour, light.sky_colour,
             light.ground_colour], dtype=np.float32,
        )  # fmt: skip
        count = max(part_layer) + 1 if part_layer else 0
        picture = wp.zeros(size * size, dtype=wp.vec3, device="cpu")
        coverage = wp.zeros(size * size, dtype=float, device="cpu")
        layers = wp.zeros(max(size * size * count, 1), dtype=wp.vec3, device="cpu")
        focal_px, center_px, samples, view = camera
        inputs = [
            self._mesh.id,
            self._indices,
            wp.array(np.ascontiguousarray(normals, dtype=np.float32), dtype=wp.vec3, device="cpu"),
            wp.array(np.ascontiguousarray(face_uv.reshape(-1, 2), dtype=np.float32), dtype=wp.vec2, device="cpu"),
            *self._fixed,
            wp.array(background.reshape(-1, 3).astype(np.float32), dtype=wp.vec3, device="cpu"),
            wp.array(lights, dtype=wp.vec3, device="cpu"),
            float(focal_px),
            wp.vec2(*center_px),
            wp.mat33(*np.asarray(view.turn, dtype=np.float64).ravel().tolist()),
            wp.vec3(*np.asarray(view.place, dtype=np.float64).tolist()),
            size,
            samples,
            wp.array(np.array(part_layer or (0,), dtype=np.int32), dtype=wp.int32, device="cpu"),
            count,
        ]
        outputs = [picture, coverage, layers]
        wp.launch(_kernel(), dim=size * size, inputs=inputs, outputs=outputs, device="cpu")
        return picture.numpy(), coverage.numpy(), layers.numpy()


def to_srgb_u8(linear: np.ndarray) -> np.ndarray:
    """Encode linear light ``[..., 3]`` as the studio's pictures are encoded, uint8."""
    srgb = np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2)
    return (srgb * 255.0 + 0.5).astype(np.uint8)
