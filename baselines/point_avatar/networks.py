"""PointAvatar's three networks: deformer, canonical SDF with albedo, shading."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.point_avatar.config import PointAvatarConfig
from baselines.point_avatar.rig_surface import Attachment, FrameDrive, RigSurface, move_torso
from emo_bench.tracking.head_rig import EXPRESSIONS, pose_points, rotation_matrix

# The networks work in units of a quarter metre, because the release scales FLAME by four.
UNIT_M = 0.25
# Width of the rotations of neck and head relative to the body, 3 x 3 numbers each.
POSE_FEATURES = 18
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class Residuals:
    """The deformer's additions to Anny for N points, in metres: canonical offset, blendshapes, skinning logits."""

    offset: Tensor
    expression: Tensor
    pose: Tensor
    skinning: Tensor


def mlp(inputs: int, width: int, hidden: int, outputs: int, beta: float) -> nn.Sequential:
    """A network of softplus layers."""
    layers: list[nn.Module] = []
    for layer in range(hidden):
        layers += [nn.Linear(inputs if layer == 0 else width, width), nn.Softplus(beta)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def positional_encoding(x: Tensor, frequencies: int) -> Tensor:
    """Return ``[N, 3]`` with its sines and cosines at octaves: ``[N, 3 + 6 * frequencies]``."""
    scales = 2.0 ** torch.arange(frequencies, device=x.device)
    angles = (x[:, None] * scales[:, None]).flatten(1)
    return torch.cat((x, torch.sin(angles), torch.cos(angles)), dim=1)


class Deformer(nn.Module):
    """Moves canonical points: Anny's blendshapes and skinning plus learned residuals, zero at first.

    Args:
        config: sizes.
        surface: the resting rig.
    """

    def __init__(self, config: PointAvatarConfig, surface: RigSurface) -> None:
        super().__init__()
        self._surface = surface
        outputs = 3 + 3 * len(EXPRESSIONS) + 3 * POSE_FEATURES + 3
        self.network = mlp(3, config.deformer_width, config.deformer_layers, outputs, beta=100.0)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def residuals(self, points: Tensor) -> Residuals:
        """Compute the additions for canonical points ``[N, 3]`` in metres."""
        out = self.network(points / UNIT_M)
        offset, expression, pose, skinning = out.split((3, 3 * len(EXPRESSIONS), 3 * POSE_FEATURES, 3), dim=1)
        return Residuals(
            UNIT_M * offset,
            UNIT_M * expression.unflatten(1, (len(EXPRESSIONS), 3)),
            UNIT_M * pose.unflatten(1, (POSE_FEATURES, 3)),
            skinning,
        )

    def forward(self, points: Tensor, at: Attachment, residuals: Residuals, drive: FrameDrive) -> Tensor:
        """Move canonical points ``[N, 3]`` to camera space, in metres."""
        surface = self._surface
        turns = rotation_matrix(torch.cat(drive.poses[2:]))
        features = (turns - torch.eye(3, device=points.device)).reshape(-1)
        shaped = (
            points
            + residuals.offset
            + surface.displacement(drive.expression, at)
            + torch.einsum("e,nec->nc", drive.expression[0], residuals.expression)
            + torch.einsum("p,npc->nc", features, residuals.pose)
        )
        weights = surface.blend(surface.weights, at).clamp_min(LEAST_WEIGHT)
        weights = torch.softmax(torch.log(weights) + residuals.skinning, dim=1)
        posed = pose_points(shaped, weights, surface.joints, *drive.poses)[0]
        return move_torso(posed, weights, drive)


class CanonicalNetwork(nn.Module):
    """Signed distance and albedo of canonical space.

    Args:
        config: sizes.
        center: ``[3]`` metres, the centre of the sphere with which the distance starts.
    """

    def __init__(self, config: PointAvatarConfig, center: Tensor) -> None:
        super().__init__()
        self.center: Tensor
        self.register_buffer("center", center)
        self._frequencies, self._steepness = config.frequencies, config.albedo_steepness
        inputs, width = 3 + 6 * config.frequencies, config.canonical_width
        self._skip = config.canonical_layers // 2 if config.canonical_layers >= 6 else -1
        sizes = [inputs] + [width] * config.canonical_layers
        self.layers = nn.ModuleList(
            nn.Linear(a + (inputs if layer == self._skip else 0), width) for layer, a in enumerate(sizes[:-1])
        )
        self.last = nn.Linear(width, 4)
        self._start_as_sphere(radius=0.5)

    def _start_as_sphere(self, radius: float) -> None:
        """Return weights for which the distance is about ``|x| - radius`` (Atzmon and Lipman 2020)."""
        for layer, linear in enumerate(self.layers):
            assert isinstance(linear, nn.Linear)
            nn.init.normal_(linear.weight, 0.0, math.sqrt(2.0 / linear.out_features))
            nn.init.zeros_(linear.bias)
            with torch.no_grad():
                if layer == 0:
                    linear.weight[:, 3:] = 0.0
                if layer == self._skip and self._frequencies:
                    linear.weight[:, -(6 * self._frequencies) :] = 0.0
        with torch.no_grad():
            self.last.weight[0].normal_(math.sqrt(math.pi / self.last.in_features), 1e-4)
            self.last.bias[0] = -radius
            self.last.weight[1:].normal_(0.0, 1e-2)
            self.last.bias[1:] = 0.0

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance ``[N]`` in units of :data:`UNIT_M`, positive outside, and albedo ``[N, 3]`` in [0, 1]."""
        encoded = positional_encoding((points - self.center) / UNIT_M, self._frequencies)
        x = encoded
        for layer, linear in enumerate(self.layers):
            if layer == self._skip:
                x = torch.cat((x, encoded), dim=1) / math.sqrt(2.0)
            x = nn.functional.softplus(linear(x), beta=100.0)
        out = self.last(x)
        return out[:, 0], torch.sigmoid(self._steepness * out[:, 1:])

    def with_gradient(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distance ``[N]``, its gradient ``[N, 3]`` (of length 1 for a true distance), and albedo ``[N, 3]``."""
        with torch.enable_grad():
            x = points if points.requires_grad else points.detach().requires_grad_(True)
            distance, albedo = self(x)
            (gradient,) = torch.autograd.grad(distance.sum(), x, create_graph=self.training)
        return distance, gradient * UNIT_M, albedo


class Shading(nn.Module):
    """The shading: a network of the deformed normal."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
        )

    def forward(self, normals: Tensor) -> Tensor:
        """Return shading ``[N, 3]`` in [0, 1] of normals ``[N, 3]`` in camera space; 0.5 leaves albedo unchanged."""
        return torch.sigmoid(self.network(normals))
