"""Cast rays from a pinhole camera onto a triangle mesh, with Warp."""

from __future__ import annotations

import ctypes
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np

from emo_bench.system.native_output import quiet_stderr

# The library of NVIDIA's driver on Linux, which Warp looks for.
DRIVER = "libcuda.so.1"


@lru_cache(maxsize=1)
def warp() -> Any:
    """Import and initialise Warp without its messages.

    Its native code warns on every machine without NVIDIA's driver, where nobody expects a GPU. With a driver, its
    errors are shown.
    """
    import warp as wp

    wp.config.quiet = True
    wp.config.log_level = getattr(wp, "LOG_ERROR", 3)
    with nullcontext() if _has_cuda_driver() else quiet_stderr():
        wp.init()
    return wp


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _kernel() -> Any:
    wp = warp()

    @wp.kernel
    def cast_rays(
        mesh: wp.uint64,
        focal_px: float,
        center_x: float,
        center_y: float,
        width: int,
        face: wp.array(dtype=wp.int32),
        barycentric: wp.array(dtype=wp.vec3),
        depth: wp.array(dtype=float),
    ):
        i = wp.tid()
        x = float(i % width) + 0.5
        y = float(i // width) + 0.5
        direction = wp.normalize(wp.vec3((x - center_x) / focal_px, (y - center_y) / focal_px, 1.0))
        hit = wp.mesh_query_ray(mesh, wp.vec3(0.0, 0.0, 0.0), direction, 1.0e6)
        face[i] = -1
        if hit.result:
            face[i] = hit.face
            barycentric[i] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
            depth[i] = hit.t * direction[2]

    return cast_rays


class RayCaster:
    """Casts one ray per pixel from the camera's origin onto one mesh whose vertices may move.

    Args:
        faces: ``[F, 3]`` integer triangles.
    """

    def __init__(self, faces: np.ndarray) -> None:
        self._faces = np.ascontiguousarray(faces, dtype=np.int32)
        self._mesh: Any = None

    def cast(
        self, vertices: np.ndarray, focal_px: float, center_px: tuple[float, float], size_px: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find the first triangle hit by the ray through each pixel's centre.

        Args:
            vertices: ``[V, 3]`` float32 in camera space.
            focal_px, center_px: the camera at ``size_px``.

        Returns:
            Triangle numbers ``[S, S]`` int32 (-1 if nothing is hit), barycentric weights ``[S, S, 3]`` float32 in the
            order of the triangle's corners, and depth ``[S, S]`` float32 in metres (0 if nothing is hit).
        """
        wp = warp()
        points = np.ascontiguousarray(vertices, dtype=np.float32)
        if self._mesh is None:
            self._mesh = wp.Mesh(
                points=wp.array(points, dtype=wp.vec3, device="cpu"),
                indices=wp.array(self._faces.reshape(-1), dtype=wp.int32, device="cpu"),
            )
        else:
            self._mesh.points.assign(points)
            self._mesh.refit()
        count = size_px * size_px
        face = wp.empty(count, dtype=wp.int32, device="cpu")
        barycentric = wp.zeros(count, dtype=wp.vec3, device="cpu")
        depth = wp.zeros(count, dtype=float, device="cpu")
        inputs = [self._mesh.id, float(focal_px), float(center_px[0]), float(center_px[1]), size_px]
        wp.launch(_kernel(), dim=count, inputs=inputs, outputs=[face, barycentric, depth], device="cpu")
        shape = (size_px, size_px)
        return (face.numpy().reshape(shape), barycentric.numpy().reshape(*shape, 3), depth.numpy().reshape(shape))
