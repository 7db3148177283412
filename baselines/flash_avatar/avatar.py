"""The avatar: Gaussians on the rig, the network of offsets, and a frame's picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from baselines.camera import Camera
from baselines.flash_avatar.config import FlashAvatarConfig
from baselines.flash_avatar.quaternions import blended, from_rotation_vector, product
from baselines.flash_avatar.uv_grid import uv_grid
from baselines.hull import vertex_normals
from baselines.point_avatar.networks import UNIT_M, positional_encoding
from baselines.point_avatar.rig_surface import FrameDrive, RigSurface, move_torso
from baselines.splatting.gaussians import Gaussians, Splats, View
from baselines.splatting.rasterise import splat
from emo_bench.tracking.head_rig import EXPRESSIONS, HeadRig, pose_points

# The first size of a Gaussian is the mean distance to this many neighbours (Kerbl et al. 2023).
NEIGHBOURS = 3
LEAST_SIZE_M = 1e-4
GREY = 0.5


class OffsetNetwork(nn.Module):
    """Turns encoded canonical places and an expression into offset, rotation and scale; all zero at first.

    Args:
        inputs: number of the encoded coordinates.
        config: sizes.
    """

    def __init__(self, inputs: int, config: FlashAvatarConfig) -> None:
        super().__init__()
        # The sum of both is one layer of all inputs; the expression's part is the same for all places.
        self.places, self.expression = nn.Linear(inputs, config.width), nn.Linear(len(EXPRESSIONS), config.width, False)
        self.hidden = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.layers - 1))
        self.last = nn.Linear(config.width, 10)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, encoded: Tensor, expression: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return offsets ``[N, 3]`` in metres, additions to quaternions ``[N, 4]`` and to logarithms of scales."""
        x = torch.relu(self.places(encoded) + self.expression(expression))
        for layer in self.hidden:
            x = torch.relu(layer(x))
        offset, rotation, scale = self.last(x).split((3, 4, 3), dim=1)
        return UNIT_M * offset, rotation, torch.tanh(scale)


class FlashAvatarModel(nn.Module):
    """Gaussians, network and background of one person.

    Args:
        rig: the mesh.
        rest, joints: ``[V, 3]`` and ``[2, 3]`` metres, the person at rest.
        extents: ``[V]`` metres, how far outside the resting mesh the Gaussians lie.
        plate: ``[S, S, 3]`` in [0, 1], the background.
        config: the other settings.
        device: the device of the tensors.
    """

    def __init__(
        self,
        rig: HeadRig,
        rest: np.ndarray,
        joints: np.ndarray,
        extents: np.ndarray,
        plate: np.ndarray,
        config: FlashAvatarConfig,
        device: str,
    ) -> None:
        super().__init__()
        self.config = config
        self.rest: Tensor
        self.joints: Tensor
        self.extents: Tensor
        self.plate: Tensor
        for name, array in (("rest", rest), ("joints", joints), ("extents", extents), ("plate", plate)):
            self.register_buffer(name, torch.as_tensor(np.asarray(array, np.float32), device=device))
        surface, at = RigSurface(rig, rest, joints, device), uv_grid(rig, config.uv_px, device)
        outer = self.rest + self.extents[:, None] * torch.from_numpy(vertex_normals(rest, rig.faces)).to(self.rest)
        self._places = surface.blend(outer, at)
        self._weights = surface.blend(surface.weights, at)
        moved = surface.deltas.unflatten(1, (-1, 3))
        self._displacements = torch.cat([surface.blend(delta, at).reshape(1, -1) for delta in moved])
        self._encoded = positional_encoding(self._places / UNIT_M, config.frequencies)
        count = len(self._places)
        self.network = OffsetNetwork(self._encoded.shape[1], config)
        self.colour = nn.Parameter(torch.full((count, 3), GREY))
        self.opacity = nn.Parameter(torch.logit(torch.full((count,), config.first_opacity)))
        sizes = config.first_size * first_sizes(self._places.cpu().numpy())
        self.scale = nn.Parameter(sizes.log()[:, None].repeat(1, 3))
        self.rotation = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1))
        self.to(device)

    def __len__(self) -> int:
        return len(self._places)

    def forward(self, drive: FrameDrive, camera: Camera) -> Splats:
        """Draw the person in a frame, without background."""
        return self.drawn(self.gaussians(drive), camera)

    @property
    def places(self) -> Tensor:
        """The Gaussians' places at rest without offsets, ``[N, 3]`` metres, body frame."""
        return self._places

    def gaussians(self, drive: FrameDrive) -> Gaussians:
        """Return the Gaussians of a frame."""
        offset, turn, growth = self.network(self._encoded, drive.expression)
        resting = self._places + (drive.expression @ self._displacements).reshape(-1, 3) + offset
        posed = pose_points(resting, self._weights, self.joints, *drive.poses)[0]
        turned = blended(self._weights, part_rotations(drive))
        return Gaussians(
            move_torso(posed, self._weights, drive),
            torch.exp(self.scale + growth),
            product(turned, self.rotation + turn),
            torch.sigmoid(self.opacity),
            self.colour,
        )

    def drawn(self, gaussians: Gaussians, camera: Camera) -> Splats:
        """Draw Gaussians at the method's resolution."""
        size = self.config.resolution_px
        return splat(gaussians, View(camera, size, size, antialiased=self.config.antialiased))

    def behind(self) -> Tensor:
        """Return the background ``[S, S, 3]`` of renderings."""
        return self.plate if self.config.background == "plate" else torch.ones_like(self.plate)


def part_rotations(drive: FrameDrive) -> Tensor:
    """Return the quaternions ``[3, 4]`` that turn torso, neck and head from rest to camera space."""
    body, neck, head = (from_rotation_vector(drive.poses[i]) for i in (0, 2, 3))
    below = product(body, neck)
    return torch.cat((body, below, product(below, head)))


def first_sizes(places: np.ndarray) -> Tensor:
    """Return ``[N]`` metres, the mean distance of each place to its nearest neighbours."""
    from scipy.spatial import KDTree

    distance, _ = KDTree(places).query(places, NEIGHBOURS + 1)
    return torch.from_numpy(distance[:, 1:].mean(axis=1).astype(np.float32)).clamp_min(LEAST_SIZE_M)
