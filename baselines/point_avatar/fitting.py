"""Training of PointAvatar: losses, steps, growth, and the state between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.camera import Camera
from baselines.point_avatar.cloud import PointCloud
from baselines.point_avatar.config import PointAvatarConfig
from baselines.point_avatar.networks import UNIT_M, CanonicalNetwork, Residuals
from baselines.point_avatar.refinement import TrackRefinement
from baselines.point_avatar.renderer import Drawing, PointAvatarModel
from baselines.point_avatar.rig_surface import FrameDrive, RigSurface, frame_drive
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.methods.training.learning_rate import cosine_share, halved_share, set_rates
from emo_bench.tracking.head_rig import EXPRESSIONS, HeadRig, load_head_rig

Perceptual = Callable[[Tensor, Tensor], Tensor]
# The weight of the rig loss is halved at these shares of the steps: epochs 10, 20, 30, 40 of 62.
RIG_HALVED_AT = (10 / 62, 20 / 62, 30 / 62, 40 / 62)
# A point is visible if the sum of its weights over all pictures is greater than this, in pixels; the range of the
# first albedos keeps their logits moderate.
FIRST_WEIGHT, FIRST_ALBEDO = 1.0, (0.02, 0.98)
SURFACE_STEPS, SURFACE_POINTS = 150, 1500


class TrainingPictures:
    """Training frames, masks and signals, all in memory."""

    def __init__(self, capture: Capture, indices: Sequence[int], size_px: int, device: str) -> None:
        self.indices = [int(i) for i in indices]
        self._track, self._device = capture.track, device
        self._frames = np.stack(list(capture.frames(self.indices, size=size_px)))
        self._masks = np.stack([capture.track.foreground(i, size_px) for i in self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def row(self, row: int, refinement: TrackRefinement | None = None) -> tuple[Tensor, Tensor, FrameDrive]:
        """Return picture ``[S, S, 3]`` in [0, 1], mask ``[S, S]`` as floats, and signals, refined if that is given."""
        picture = torch.from_numpy(self._frames[row].astype(np.float32) / 255.0).to(self._device)
        mask = torch.from_numpy(self._masks[row].astype(np.float32)).to(self._device)
        if refinement is not None:
            return picture, mask, refinement.drive(load_head_rig(), self._track, row)
        return picture, mask, frame_drive(load_head_rig(), self._track, self.indices[row], self._device)


class PointAvatarFit:
    """Trains a model step by step; its points are pruned and doubled during training.

    The random numbers of a step depend only on the seed and the step's number. A fit that was killed and continues from
    a checkpoint therefore ends with the same weights as a fit without interruption (on a GPU except for the order of
    sums).

    Args:
        model: the model to train, with its first cloud.
        pictures: the training pictures.
        camera: the camera of the pictures.
        config: loss weights, learning rates, numbers of steps.
        perceptual: distance of batches in [-1, 1], or None if that loss is not used.
        seed: the run's seed.
        pixel_m: width of a pixel in metres, at the person's distance.
    """

    def __init__(
        self,
        model: PointAvatarModel,
        pictures: TrainingPictures,
        camera: Camera,
        config: PointAvatarConfig,
        perceptual: Perceptual | None,
        seed: int,
        pixel_m: float,
    ) -> None:
        self.model, self.step = model, 0
        self._pictures, self._camera, self._config = pictures, camera, config
        self._perceptual, self._seed, self._pixel_m = perceptual, seed, pixel_m
        networks = [*model.deformer.parameters(), *model.canonical.parameters(), *model.shading.parameters()]
        self._networks = torch.optim.Adam(networks, lr=config.lr)
        self._points = self._point_optimizer()
        self.refinement: TrackRefinement | None = None
        if config.refine_track:
            self.refinement = TrackRefinement(pictures.indices, str(model.rest.device))
            self._additions = self.refinement.optimizer(config.refine_lr)
        self._growth_steps = {
            round(config.steps * config.growth_share * (k + 1) / max(config.growths, 1)) for k in range(config.growths)
        }

        self._pruning_steps = {round(config.steps * (k + 1) / (config.prunings + 1)) for k in range(config.prunings)}
        self.required_steps = self._growth_steps | self._pruning_steps

    def _point_optimizer(self) -> torch.optim.Adam:
        cloud, config = self.model.cloud, self._config
        groups = [{"params": [cloud.places], "lr": config.point_lr}, {"params": [cloud.albedo], "lr": config.albedo_lr}]
        # A point is visible only in some frames. Adam with a long memory of zero gradients would make its next step
        # three times as long.
        return torch.optim.Adam(groups, betas=(0.9, 0.99))

    def run_step(self) -> dict[str, float]:
        """Take one optimisation step; return its losses by name, before weighting.

        Raises:
            UserError: a loss is not finite; this step has updated nothing.
        """
        rng = np.random.default_rng((self._seed, self.step))
        if self.step in self._growth_steps:
            self._grow(rng)
        elif self.step in self._pruning_steps:
            self._replace(self._pruned())
        refinement = self.refinement if self.step >= self._config.refine_from * self._config.steps else None
        for module in (self.model, refinement):
            if module is not None:
                module.zero_grad(set_to_none=True)
        values, hidden = self._backward(rng, refinement)
        require_finite(values, "point-avatar: training", self.step, "try --set lr=...")
        self._set_rates()
        self._networks.step()
        self._step_points(hidden)
        if refinement is not None:
            self._additions.step()
            refinement.centre()
        self.step += 1
        values.setdefault("perceptual", math.nan)
        return {**values, "points": float(len(self.model.cloud))}

    def _backward(
        self, rng: np.random.Generator, refinement: TrackRefinement | None
    ) -> tuple[dict[str, float], Tensor]:
        """Sum up the gradients of a batch, frame by frame; return mean losses and ``[N]`` bool: hidden points."""
        config = self._config
        values: dict[str, float] = {}
        self.model.train()
        cloud = self.model.cloud
        seen, front = torch.zeros_like(cloud.seen), torch.zeros_like(cloud.front)
        for row in rng.integers(len(self._pictures), size=config.batch):
            picture, mask, drive = self._pictures.row(int(row), refinement)
            drawing = self.model(drive, self._camera)
            losses = self._losses(drawing, picture, mask)
            weights = {name: getattr(config, f"{name}_weight") for name in losses}
            weights["rig"] *= halved_share(self.step, config.steps, RIG_HALVED_AT)
            total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
            (total / config.batch).backward()
            seen, front = torch.maximum(seen, drawing.seen), front | drawing.front
            for name, loss in losses.items():
                values[name] = values.get(name, 0.0) + float(loss.detach()) / config.batch
        cloud.notice(seen, front)
        return values, seen < config.least_seen

    def _step_points(self, hidden: Tensor) -> None:
        """Update the visible points: Adam would move a hidden point as far as the one in front of it."""
        own = (self.model.cloud.places, self.model.cloud.albedo)
        before = [parameter.detach()[hidden] for parameter in own]
        for parameter in own:
            if parameter.grad is not None:
                parameter.grad[hidden] = 0.0
        self._points.step()
        with torch.no_grad():
            for parameter, values in zip(own, before, strict=True):
                parameter[hidden] = values

    def _losses(self, drawing: Drawing, picture: Tensor, mask: Tensor) -> dict[str, Tensor]:
        config = self._config
        target = picture
        if config.background == "white":
            target = torch.where(mask[..., None] > 0, picture, 1.0)
        losses = {
            "rgb": (drawing.image - target).abs().mean(),
            "mask": (drawing.opacity - mask).abs().mean(),
            "rig": rig_loss(drawing.residuals),
            "sdf": drawing.distance.square().mean(),
            "eikonal": ((drawing.gradient.norm(dim=1) - 1.0) ** 2).mean(),
        }
        if self._perceptual is not None and self.step % config.perceptual_every == 0:
            ours, theirs = ((x.clamp(0.0, 1.0) * 2.0 - 1.0).permute(2, 0, 1)[None] for x in (drawing.image, target))
            losses["perceptual"] = config.perceptual_every * self._perceptual(ours, theirs).mean()
        return losses

    def _pruned(self) -> PointCloud:
        config, cloud = self._config, self.model.cloud
        small = float(cloud.radius) < config.prune_least_radius
        return cloud if small else cloud.pruned(config.prune_below, keep_front_most=config.keep_front_most)

    def _grow(self, rng: np.random.Generator) -> None:
        """Prune the points that were never seen, then double the others; the discs become smaller."""
        jitter_m = 0.5 * self.model.radius_px * self._pixel_m
        self._replace(self._pruned().doubled(self._config.most_points, jitter_m, rng))

    def _replace(self, cloud: PointCloud) -> None:
        if cloud is not self.model.cloud:
            self.model.cloud = cloud
            self._points = self._point_optimizer()

    def _set_rates(self) -> None:
        config = self._config
        share = cosine_share(self.step, config.steps, config.final_lr_share)
        share *= halved_share(self.step, config.steps, config.lr_halved_at)
        set_rates(self._networks, config.lr, share)
        set_rates(self._points, (config.point_lr, config.albedo_lr), share)

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "networks": self._networks.state_dict(),
            "points": self._points.state_dict(),
        }
        if self.refinement is not None:
            state |= {"refinement": self.refinement.state_dict(), "additions": self._additions.state_dict()}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a saved state."""
        self.step = int(state["step"])
        restore_model(self.model, state["model"])
        self._networks.load_state_dict(state["networks"])
        self._points = self._point_optimizer()
        self._points.load_state_dict(state["points"])
        if self.refinement is not None:
            self.refinement.load_state_dict(state["refinement"])
            self._additions.load_state_dict(state["additions"])


def colour_points(model: PointAvatarModel, pictures: TrainingPictures, camera: Camera) -> None:
    """Start each point's albedo as the mean colour that it covers; a hidden point takes that of a visible neighbour.

    Raises:
        UserError: the masks of these pictures show none of the points.
    """
    from scipy.spatial import KDTree

    sums, weights = torch.zeros_like(model.cloud.albedo), torch.zeros_like(model.cloud.seen)
    for row in evenly_spaced(range(len(pictures)), model.config.first_colours):
        picture, mask, drive = pictures.row(int(row))
        colours, weight = model.covered(picture, mask, drive, camera)
        sums, weights = sums + colours, weights + weight
    seen = (weights > FIRST_WEIGHT).cpu()
    if not seen.any():
        raise UserError(
            "point-avatar: no point lies in the foreground masks of the training frames; look at the masks of this "
            "actor, or --set first_colours=0"
        )
    places = model.cloud.places.detach().cpu().numpy()
    _, near = KDTree(places[seen.numpy()]).query(places)
    means = (sums / weights[:, None])[seen][torch.from_numpy(near)]
    with torch.no_grad():
        model.cloud.albedo.copy_(torch.logit(means.clamp(*FIRST_ALBEDO)))


def restore_model(model: PointAvatarModel, state: dict[str, Tensor]) -> None:
    """Load a state whose cloud may have another number of points."""
    cloud = {name.removeprefix("cloud."): value for name, value in state.items() if name.startswith("cloud.")}
    model.cloud = PointCloud.of_size(cloud, model.surface)
    model.load_state_dict(state)


def rig_loss(residuals: Residuals) -> Tensor:
    """Penalise the deformer's distance from Anny: published weights LBS 0.1, pose 10, expression 10, over its scale.

    The published loss compares blendshapes and weights at a point with those of the nearest FLAME vertex. Here the
    values of the nearest place are part of the deformer, so the difference is what the network adds.
    """
    expression = (residuals.expression / UNIT_M).square().mean() * 3 * len(EXPRESSIONS)
    pose = (residuals.pose / UNIT_M).square().mean()
    return 10.0 * expression + 10.0 * pose + 0.1 * residuals.skinning.square().mean()


def fit_distance_to_rig(network: CanonicalNetwork, surface: RigSurface, rig: HeadRig, rng: np.random.Generator) -> None:
    """Fit the canonical distance to the resting rig before training: zero on the skin, gradients along its normals."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    corners = surface.rest[surface.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = normal.norm(dim=1).cpu().double().numpy()
    outside = area * (rig.face_region < 2)
    for _ in range(SURFACE_STEPS):
        face = torch.from_numpy(rng.choice(len(area), SURFACE_POINTS, p=outside / outside.sum()))
        weights = rng.dirichlet((1.0, 1.0, 1.0), SURFACE_POINTS).astype(np.float32)
        points = (corners[face] * torch.from_numpy(weights).to(corners.device)[..., None]).sum(dim=1)
        distance, gradient, _ = network.with_gradient(points)
        wanted = nn.functional.normalize(normal[face], dim=1)
        loss = distance.abs().mean() + 0.5 * (gradient - wanted).norm(dim=1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
