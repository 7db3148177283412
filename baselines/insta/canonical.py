"""Transform points from a posed mesh to canonical space: each moves rigidly with the frame of its nearest triangle.

INSTA, section 3.1: a sample's nearest triangle has a frame of tangent, bitangent and normal on the posed mesh and
another one on the canonical mesh. The transform between the two frames moves the sample. Here the foot point on the
triangle is mapped by its barycentric coordinates, so the map is exact on the surface for any stretching of the
triangle. The offset from the foot point is rotated from one frame to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.warp_kernels import kernels
from emo_bench.tracking.raycast import warp


@dataclass(frozen=True)
class Carried:
    """Points in canonical space.

    Attributes:
        points: ``[M, 3]`` metres; zero if no triangle is near.
        directions: ``[M, 3]`` the given directions, rotated in the same way.
        face: ``[M]`` int64, the nearest triangle, -1 if none is near.
    """

    points: Tensor
    directions: Tensor
    face: Tensor


class CanonicalMap:
    """Transforms points near a posed mesh to the canonical mesh.

    Args:
        faces: ``[F, 3]`` triangles of both meshes.
        rest: ``[V, 3]`` metres, the canonical mesh.
        reach_m: greatest distance from the posed mesh; points farther away have no place in canonical space.
        device: the device of the tensors.
    """

    def __init__(self, faces: np.ndarray, rest: np.ndarray, reach_m: float, device: str) -> None:
        wp = warp()
        self._device = wp.device_from_torch(torch.device(device))
        self._faces = wp.array(np.ascontiguousarray(faces, np.int32), dtype=wp.int32, device=self._device)
        self._rest = self._array(rest)
        self._reach_m = reach_m
        self._mesh = wp.Mesh(
            points=self._array(rest),
            indices=wp.array(faces.reshape(-1).astype(np.int32), dtype=wp.int32, device=self._device),
        )

    def _array(self, points: np.ndarray) -> Any:
        wp = warp()
        return wp.array(np.ascontiguousarray(points, np.float32), dtype=wp.vec3, device=self._device)

    def carry(self, vertices: np.ndarray, points: Tensor, directions: Tensor) -> Carried:
        """Transform points and directions ``[M, 3]`` from the pose ``vertices [V, 3]``; camera space, metres."""
        wp = warp()
        self._mesh.points.assign(self._array(vertices))
        self._mesh.refit()
        points, directions = points.contiguous(), directions.contiguous()
        canonical, turned = torch.zeros_like(points), torch.zeros_like(points)
        face = torch.empty(len(points), dtype=torch.int32, device=points.device)
        if len(points):
            wp.launch(
                kernels().carry,
                dim=len(points),
                inputs=[
                    self._mesh.id,
                    self._faces,
                    self._rest,
                    wp.from_torch(points, dtype=wp.vec3),
                    wp.from_torch(directions, dtype=wp.vec3),
                    self._reach_m,
                ],
                outputs=[
                    wp.from_torch(canonical, dtype=wp.vec3),
                    wp.from_torch(turned, dtype=wp.vec3),
                    wp.from_torch(face),
                ],
                device=self._device,
            )
        return Carried(canonical, turned, face.long())
