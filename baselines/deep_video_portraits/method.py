"""Deep Video Portraits as a method of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from baselines.deep_video_portraits.conditioning import CHANNELS, Conditioning
from baselines.deep_video_portraits.config import PROFILES, DeepVideoPortraitsConfig
from baselines.deep_video_portraits.fitting import DeepVideoPortraitsFit
from baselines.deep_video_portraits.networks import TranslationNetwork, level_widths
from baselines.head_render import HeadLook, fit_look
from emo_bench.actors.capture import Capture
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.methods.training.fitted import CHECKPOINT, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.frames import TrainingFrames, evenly_spaced, to_frames_u8
from emo_bench.methods.training.loop import run_fit
from emo_bench.methods.training.settings import resolve_settings
from emo_bench.system.devices import mixed_precision

RENDER_BATCH = 8
TEXTURE, LIGHT = "look.texture", "look.light"


class DeepVideoPortraits(Method):
    """Deep Video Portraits (Kim et al. 2018); :mod:`baselines.deep_video_portraits` says what is faithful.

    Files in the workspace: ``train.pt`` (state), ``train.csv`` (losses), ``checkpoint.safetensors`` (network, colours
    and light of the rendering).
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="deep-video-portraits",
        title="Deep Video Portraits",
        paper="Kim et al. 2018, Deep Video Portraits, ACM TOG 37(4)",
        licence="Apache-2.0 (this implementation, written from the paper)",
        capabilities=frozenset({"render"}),
        requirements=(),
        fidelity="network, conditioning volume and losses of the paper on the open Anny rig, one light for the whole "
        "video; profile cpu has half the widths and far fewer steps",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_settings(self.info.name, DeepVideoPortraitsConfig, PROFILES, workspace)
        self.resolution_px = self.config.resolution_px
        self._fitted: dict[str, Tensor] | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Train the network; an interrupted training continues."""
        config, workspace = self.config, self.workspace
        look = fit_look(capture, train, config.resolution_px, config.texture_px, config.look_frames)
        frames = TrainingFrames(capture, evenly_spaced(train, config.max_train_frames), config.resolution_px)
        conditioning = Conditioning(capture.track, look, config.resolution_px, config.window)
        network = self._build()
        fitting = DeepVideoPortraitsFit(network, frames, conditioning, config, workspace.seed, workspace.device)
        label = f"{self.info.name}: fit"
        run_fit(fitting, self.workspace, config.steps, config.checkpoint_every_steps, label)
        tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
        tensors |= {TEXTURE: torch.from_numpy(look.texture), LIGHT: torch.from_numpy(look.light)}
        save_checkpoint(workspace.folder, tensors, config.model_dump_json())
        self._fitted = tensors

    def _build(self) -> TranslationNetwork:
        config = self.config
        torch.manual_seed(self.workspace.seed)
        widths = level_widths(config.width, config.max_width, config.depth)
        network = TranslationNetwork(CHANNELS * config.window, widths, config.last_width, config.dropout)
        return network.to(self.workspace.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        if self._fitted is None:
            self.load()
        assert self._fitted is not None
        config, device = self.config, self.workspace.device
        weights = dict(self._fitted)
        look = HeadLook(weights.pop(TEXTURE).numpy(), weights.pop(LIGHT).numpy())
        network = self._build().eval()
        with restoring(self.workspace.folder):
            network.load_state_dict(weights)
        conditioning = Conditioning(
            capture.track, look, config.resolution_px, config.window, keep=2 * (config.window + RENDER_BATCH)
        )
        for start in range(0, len(indices), RENDER_BATCH):
            volume = conditioning.batch(indices[start : start + RENDER_BATCH], device)
            with mixed_precision(device, config.bf16):
                image = network(volume)
            yield from to_frames_u8(image)

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is no finished fit, or it was fitted with another configuration.
        """
        self._fitted = load_checkpoint(self.workspace.folder, self.config.model_dump_json(), (TEXTURE, LIGHT))

    def describe(self) -> dict[str, object]:
        """Describe the resolved configuration and, once fitted, the number of parameters."""
        described: dict[str, object] = {"config": self.config.model_dump(mode="json")}
        if self._fitted is not None:
            described["parameters"] = sum(p.numel() for p in self._build().parameters())
        return described
