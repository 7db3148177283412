"""Quaternions w, x, y, z."""

from __future__ import annotations

import torch
from torch import Tensor


def from_rotation_vector(rotvec: Tensor) -> Tensor:
    """Convert rotation vectors ``[..., 3]`` in radians to unit quaternions ``[..., 4]``."""
    half = 0.5 * rotvec.norm(dim=-1, keepdim=True)
    return torch.cat((torch.cos(half), 0.5 * torch.sinc(half / torch.pi) * rotvec), dim=-1)


def product(first: Tensor, second: Tensor) -> Tensor:
    """Return the quaternion ``[..., 4]`` that rotates by ``second`` and then by ``first``."""
    a, b = first[..., 1:], second[..., 1:]
    a, b = torch.broadcast_tensors(a, b)
    w, v = first[..., :1], second[..., :1]
    return torch.cat((w * v - (a * b).sum(-1, keepdim=True), w * b + v * a + torch.linalg.cross(a, b)), dim=-1)


def blended(weights: Tensor, rotations: Tensor) -> Tensor:
    """Return weighted means ``[N, 4]``, not normalised, of P quaternions ``[P, 4]`` with weights ``[N, P]``.

    A quaternion and its negative are the same rotation; all are taken on the side of the first.
    """
    side = torch.where((rotations * rotations[:1]).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    return weights @ (side * rotations)
