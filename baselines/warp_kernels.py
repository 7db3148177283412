"""The baselines' kernels in Warp's language: hash grid, canonical map, nearest place on a mesh."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from emo_bench.tracking.raycast import warp

# The primes of the spatial hash of Teschner et al. 2003, as in Instant NGP.
_PRIME_Y, _PRIME_Z = 2654435761, 805459861


class Kernels(NamedTuple):
    """Kernels: ``look_up``, ``scatter`` (:mod:`baselines.insta.hash_grid`), ``carry`` (``canonical``), ``nearest``."""

    look_up: Any
    scatter: Any
    carry: Any
    nearest: Any


@lru_cache(maxsize=1)
def kernels() -> Kernels:
    """Define all kernels at once, because Warp compiles a module as a whole."""
    wp = warp()
    prime_y, prime_z = wp.constant(wp.uint32(_PRIME_Y)), wp.constant(wp.uint32(_PRIME_Z))

    @wp.func
    def row(x: int, y: int, z: int, side: int, size: int) -> int:
        dense = side * side * side
        if side <= 1290 and dense <= size:
            return x + side * (y + side * z)
        hashed = wp.uint32(x) ^ (wp.uint32(y) * prime_y) ^ (wp.uint32(z) * prime_z)
        return int(hashed % wp.uint32(size))

    @wp.func
    def cell_of(x: wp.vec3, cells: int) -> wp.vec3i:
        last = cells - 1
        return wp.vec3i(
            wp.clamp(int(wp.floor(x[0])), 0, last),
            wp.clamp(int(wp.floor(x[1])), 0, last),
            wp.clamp(int(wp.floor(x[2])), 0, last),
        )

    @wp.func
    def share(place: float, bit: int) -> float:
        inside = wp.clamp(place, 0.0, 1.0)
        if bit == 1:
            return inside
        return 1.0 - inside

    @wp.func
    def corner_of(x: wp.vec3, cell: wp.vec3i, corner: int, side: int, size: int):
        bits = wp.vec3i(corner & 1, (corner >> 1) & 1, (corner >> 2) & 1)
        weight = (
            share(x[0] - float(cell[0]), bits[0])
            * share(x[1] - float(cell[1]), bits[1])
            * share(x[2] - float(cell[2]), bits[2])
        )
        at = cell + bits
        return row(at[0], at[1], at[2], side, size), weight

    @wp.kernel
    def look_up(
        points: wp.array(dtype=wp.vec3),
        sides: wp.array(dtype=wp.int32),
        table: wp.array3d(dtype=float),
        features: wp.array2d(dtype=float),
    ):
        i, level = wp.tid()
        cells = sides[level] - 1
        x = points[i] * float(cells)
        cell = cell_of(x, cells)
        width = table.shape[2]
        for corner in range(8):
            at, weight = corner_of(x, cell, corner, cells + 1, table.shape[1])
            for k in range(width):
                features[i, level * width + k] = features[i, level * width + k] + weight * table[level, at, k]

    @wp.kernel
    def scatter(
        points: wp.array(dtype=wp.vec3),
        sides: wp.array(dtype=wp.int32),
        gradient: wp.array2d(dtype=float),
        table_gradient: wp.array3d(dtype=float),
    ):
        i, level = wp.tid()
        cells = sides[level] - 1
        x = points[i] * float(cells)
        cell = cell_of(x, cells)
        width = table_gradient.shape[2]
        for corner in range(8):
            at, weight = corner_of(x, cell, corner, cells + 1, table_gradient.shape[1])
            for k in range(width):
                wp.atomic_add(table_gradient, level, at, k, weight * gradient[i, level * width + k])

    @wp.kernel
    def carry(
        mesh: wp.uint64,
        faces: wp.array2d(dtype=wp.int32),
        rest: wp.array(dtype=wp.vec3),
        points: wp.array(dtype=wp.vec3),
        directions: wp.array(dtype=wp.vec3),
        reach: float,
        canonical: wp.array(dtype=wp.vec3),
        turned: wp.array(dtype=wp.vec3),
        face: wp.array(dtype=wp.int32),
    ):
        i = wp.tid()
        found = wp.mesh_query_point_no_sign(mesh, points[i], reach)
        face[i] = -1
        if found.result:
            f = found.face
            face[i] = f
            u = found.u
            v = found.v
            posed = wp.mesh_get(mesh)
            p0 = posed.points[faces[f, 0]]
            p1 = posed.points[faces[f, 1]]
            p2 = posed.points[faces[f, 2]]
            c0 = rest[faces[f, 0]]
            c1 = rest[faces[f, 1]]
            c2 = rest[faces[f, 2]]
            offset = points[i] - (u * p0 + v * p1 + (1.0 - u - v) * p2)
            tangent = wp.normalize(p1 - p0)
            normal = wp.normalize(wp.cross(p1 - p0, p2 - p0))
            bitangent = wp.cross(normal, tangent)
            tangent_c = wp.normalize(c1 - c0)
            normal_c = wp.normalize(wp.cross(c1 - c0, c2 - c0))
            bitangent_c = wp.cross(normal_c, tangent_c)
            foot = u * c0 + v * c1 + (1.0 - u - v) * c2
            canonical[i] = (
                foot
                + wp.dot(offset, tangent) * tangent_c
                + wp.dot(offset, bitangent) * bitangent_c
                + wp.dot(offset, normal) * normal_c
            )
            d = directions[i]
            turned[i] = (
                wp.dot(d, tangent) * tangent_c + wp.dot(d, bitangent) * bitangent_c + wp.dot(d, normal) * normal_c
            )

    @wp.kernel
    def nearest(
        mesh: wp.uint64,
        points: wp.array(dtype=wp.vec3),
        face: wp.array(dtype=wp.int32),
        barycentric: wp.array(dtype=wp.vec3),
    ):
        i = wp.tid()
        found = wp.mesh_query_point_no_sign(mesh, points[i], 1.0e6)
        face[i] = found.face
        barycentric[i] = wp.vec3(found.u, found.v, 1.0 - found.u - found.v)

    return Kernels(look_up, scatter, carry, nearest)
