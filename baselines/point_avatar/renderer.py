"""The avatar: render a picture from a frame's signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.camera import Camera
from baselines.point_avatar.cloud import PointCloud
from baselines.point_avatar.config import PointAvatarConfig
from baselines.point_avatar.networks import CanonicalNetwork, Deformer, Residuals, Shading
from baselines.point_avatar.rig_surface import FrameDrive, RigSurface
from baselines.point_avatar.splatting import Splatted, composite, rasterise
from emo_bench.tracking.head_rig import HeadRig, project

LEAST_RADIUS_PX = 0.8


@dataclass(frozen=True)
class Drawing:
    """A picture and the values that the losses need.

    Attributes:
        image: ``[S, S, 3]`` in front of the background, [0, 1].
        opacity: ``[S, S]``.
        seen, front: ``[N]`` greatest weight of each point, and whether it is the nearest of a pixel.
        distance, gradient: ``[N]`` and ``[N, 3]`` of the canonical distance at the points.
        residuals: the additions of the deformer.
    """

    image: Tensor
    opacity: Tensor
    seen: Tensor
    front: Tensor
    distance: Tensor
    gradient: Tensor
    residuals: Residuals


class PointAvatarModel(nn.Module):
    """Points, networks and background plate of one person.

    Args:
        rig: the mesh.
        rest, joints: ``[V, 3]`` and ``[2, 3]`` metres, the person at rest.
        plate: ``[S, S, 3]`` in [0, 1], the background.
        config: the other settings.
        device: the device of the tensors.
    """

    def __init__(
        self,
        rig: HeadRig,
        rest: np.ndarray,
        joints: np.ndarray,
        plate: np.ndarray,
        config: PointAvatarConfig,
        device: str,
    ) -> None:
        super().__init__()
        self.config = config
        self.surface = RigSurface(rig, rest, joints, device)
        self.rest: Tensor
        self.joints: Tensor
        self.plate: Tensor
        for name, array in (("rest", rest), ("joints", joints), ("plate", plate)):
            self.register_buffer(name, torch.as_tensor(np.asarray(array, np.float32)))
        head = rest[rig.skin_weights[:, 2] > 0.9]
        center = torch.as_tensor(np.asarray(0.5 * (head.min(axis=0) + head.max(axis=0)), np.float32))
        self.deformer = Deformer(config, self.surface)
        self.canonical = CanonicalNetwork(config, center)
        self.shading = Shading(config.shading_width)
        self.cloud: PointCloud
        self.to(device)

    @property
    def radius_px(self) -> float:
        """The radius of the cloud's discs, in pixels at the method's resolution."""
        return max(float(self.cloud.radius) * self.config.resolution_px / 2, LEAST_RADIUS_PX)

    def forward(self, drive: FrameDrive, camera: Camera) -> Drawing:
        """Render a frame."""
        config, cloud = self.config, self.cloud
        # The distance is fitted to the points and does not move them.
        distance, gradient, albedo = self.canonical.with_gradient(cloud.places.detach())
        if config.albedo == "points":
            albedo = torch.sigmoid(cloud.albedo)
        residuals = self.deformer.residuals(cloud.places)
        normals = nn.functional.normalize(gradient, dim=1, eps=1e-6)
        normals = self.surface.turn(drive.vertices, cloud.at, normals)
        colour = 2.0 * self.shading(normals) * albedo
        # The clamped value with the gradient of the unclamped one: otherwise a point brighter than white could not
        # change.
        colour = colour + (colour.clamp(0.0, 1.0) - colour).detach()
        drawn = self._splat(colour, residuals, drive, camera)
        behind = self.plate if config.background == "plate" else torch.ones_like(self.plate)
        image = drawn.features + (1.0 - drawn.opacity)[..., None] * behind
        return Drawing(image, drawn.opacity, drawn.seen, drawn.front, distance, gradient, residuals)

    def covered(self, picture: Tensor, mask: Tensor, drive: FrameDrive, camera: Camera) -> tuple[Tensor, Tensor]:
        """Sum up what each point covers of a picture ``[S, S, 3]`` inside a mask ``[S, S]``.

        Returns sums of colours ``[N, 3]`` and weights ``[N]``.
        """
        # A rendering is linear in its points' features, so the gradient of its product with the picture is the sum.
        features = torch.ones(len(self.cloud), 4, device=picture.device, requires_grad=True)
        drawn = self._splat(features, self.deformer.residuals(self.cloud.places), drive, camera)
        target = torch.cat((picture, torch.ones_like(picture[..., :1])), dim=2) * mask[..., None]
        (sums,) = torch.autograd.grad((drawn.features * target).sum(), features)
        return sums[:, :3], sums[:, 3]

    def _splat(self, features: Tensor, residuals: Residuals, drive: FrameDrive, camera: Camera) -> Splatted:
        config, cloud = self.config, self.cloud
        posed = self.deformer(cloud.places, cloud.at, residuals, drive)
        center = torch.tensor(camera.center_px, device=posed.device, dtype=posed.dtype)
        pixels = project(posed, camera.focal_px, center)
        found = rasterise(pixels, posed[:, 2], self.radius_px, config.resolution_px, config.points_a_pixel)
        return composite(found, pixels, self.radius_px, features, config.points_a_pixel)
