"""The point cloud: its start, its pruning by visibility, and its growth by doubling."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from baselines.hull import face_vertices, vertex_normals
from baselines.point_avatar.config import PointAvatarConfig
from baselines.point_avatar.rig_surface import Attachment, RigSurface
from emo_bench.tracking.head_rig import HeadRig

# Share of the first points of start=hull that are on the skin; the others are between skin and hull.
SKIN_SHARE = 0.65
# The hull must be this far from the skin for points to be placed between them.
LEAST_GAP_M = 0.008
# Eyes and mouth are small and important: they get this many times more points per area.
FACE_DENSITY = 4.0
SPHERE_RADIUS_M = 0.125
RADIUS_OF_DOUBLED = 0.75


class PointCloud(nn.Module):
    """N canonical points and their properties.

    Args:
        places: ``[N, 3]`` metres, body frame.
        albedo: ``[N, 3]`` logits, used if points have an albedo of their own.
        surface: the resting rig, to attach points to.
        radius: radius of the discs, in units of half a picture.
    """

    def __init__(self, places: Tensor, albedo: Tensor, surface: RigSurface, radius: Tensor | float) -> None:
        super().__init__()
        self._surface = surface
        self.places, self.albedo = nn.Parameter(places), nn.Parameter(albedo)
        self.radius: Tensor
        self.register_buffer("radius", torch.as_tensor(radius, device=places.device))
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(len(places), device=places.device))
        self.front: Tensor
        self.register_buffer("front", torch.zeros(len(places), dtype=torch.bool, device=places.device))
        self.face: Tensor
        self.barycentric: Tensor
        at = surface.attach(places)
        self.register_buffer("face", at.face)
        self.register_buffer("barycentric", at.barycentric)

    @property
    def at(self) -> Attachment:
        """Return the places of the points on the rig at the time when the cloud was made."""
        return Attachment(self.face, self.barycentric)

    def __len__(self) -> int:
        return len(self.places)

    @torch.no_grad()
    def notice(self, seen: Tensor, front: Tensor) -> None:
        """Note what a picture shows of each point: its greatest weight ``[N]``, and ``[N]`` bool if it was nearest."""
        torch.maximum(self.seen, seen, out=self.seen)
        self.front |= front

    @torch.no_grad()
    def pruned(self, least: float, *, keep_front_most: bool) -> PointCloud:
        """Remove the points whose weight never reached ``least`` in a picture since the cloud was made.

        With ``keep_front_most`` a point that was the nearest of a pixel stays, whatever its weight.
        """
        kept = self.seen >= least
        if keep_front_most:
            kept = kept | self.front
        if not kept.any():
            return self
        return PointCloud(self.places[kept].clone(), self.albedo[kept].clone(), self._surface, self.radius)

    @torch.no_grad()
    def doubled(self, most: int, jitter_m: float, rng: np.random.Generator) -> PointCloud:
        """Add a second, smaller point of the same albedo near each; no change if there would be more than ``most``."""
        if 2 * len(self) > most:
            return self
        shift = rng.uniform(-jitter_m, jitter_m, (len(self), 3)).astype(np.float32)
        places = self.places + torch.from_numpy(shift).to(self.places.device)
        radius = RADIUS_OF_DOUBLED * self.radius
        return PointCloud(
            torch.cat((self.places, places)), torch.cat((self.albedo, self.albedo)), self._surface, radius
        )

    @classmethod
    def of_size(cls, state: Mapping[str, Tensor], surface: RigSurface) -> PointCloud:
        """Return the cloud of a saved state, whatever its size."""
        device = surface.rest.device
        places, albedo = (state[name].to(device).clone() for name in ("places", "albedo"))
        cloud = cls(places, albedo, surface, state["radius"])
        cloud.load_state_dict(dict(state))
        return cloud


def first_cloud(
    rig: HeadRig, surface: RigSurface, extents: np.ndarray, config: PointAvatarConfig, rng: np.random.Generator
) -> PointCloud:
    """Return the first points.

    ``sphere``: evenly on a sphere around the head, as published. ``hull``: on the rig's skin, and between skin and
    visual hull if they are apart, so that there are points for hair and clothes.
    """
    rest, count = surface.rest.cpu().numpy(), config.first_points
    if config.start == "sphere":
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        head = rest[rig.skin_weights[:, 2] > 0.9]
        places = 0.5 * (head.min(axis=0) + head.max(axis=0)) + SPHERE_RADIUS_M * directions
    else:
        places = _between_skin_and_hull(rig, rest, extents, count, rng)
    tensor = torch.from_numpy(places.astype(np.float32)).to(surface.rest.device)
    return PointCloud(tensor, torch.zeros_like(tensor), surface, first_radius(count, config.radius_scale))


def _between_skin_and_hull(
    rig: HeadRig, rest: np.ndarray, extents: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    corners = rest[rig.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    gap = extents[rig.faces].mean(axis=1)
    apart = area * (gap > LEAST_GAP_M) * gap
    on_skin = round(SKIN_SHARE * count) if apart.any() else count
    normals = vertex_normals(rest, rig.faces)
    parts = []
    face_triangles = face_vertices(rig, rest)[rig.faces].all(axis=1)
    skin = area * np.where(face_triangles, FACE_DENSITY, 1.0)
    for weight, number, lift in ((skin, on_skin, False), (apart, count - on_skin, True)):
        if number == 0:
            continue
        face = rng.choice(len(area), size=number, p=weight / weight.sum())
        barycentric = rng.dirichlet((1.0, 1.0, 1.0), size=number)
        place = np.einsum("nc,ncd->nd", barycentric, corners[face])
        if lift:
            normal = np.einsum("nc,ncd->nd", barycentric, normals[rig.faces[face]])
            place = place + (rng.random(number) * gap[face])[:, None] * normal
        parts.append(place)
    return np.concatenate(parts)


def first_radius(points: int, scale: float) -> float:
    """Return the first radius of discs in units of half a picture: ``0.3 * 0.75 ** log2(points / 100)``, scaled."""
    return scale * 0.3 * RADIUS_OF_DOUBLED ** math.log2(points / 100.0)
