"""Emo-Avatar as a method of the benchmark: init and render stages, rendering of held-out frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from emo_avatar.checkpoints import config_of
from emo_avatar.config import INFO, PROFILES, resolve_config
from emo_avatar.driving import DrivingSignals, WeightedFrames, rendered
from emo_avatar.edited_avatar import EditedAvatar
from emo_avatar.initialization import INIT_FIELDS, INIT_STATE, Initialization, initialize
from emo_avatar.prior import prior_path, sha256_of
from emo_avatar.render_stage import RenderStage
from emo_avatar.renderer import AvatarRenderer
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_avatar.stylegan2.exact import build_exactly
from emo_bench import assets
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods.interface import EditStyle, Method, MethodInfo, Workspace
from emo_bench.methods.training.fitted import CHECKPOINT, REMEDY, save_tensors
from emo_bench.methods.training.frames import evenly_spaced, to_frames_u8
from emo_bench.methods.training.loop import run_training
from emo_bench.methods.training.stage_cache import keep_stage, stages_taken, take_stage
from emo_bench.methods.training.stage_clock import StageClock, read_seconds
from emo_bench.methods.training.time_limit import time_limit_of
from emo_bench.perceptual import DISTANCES, perceptual_loss
from emo_bench.untrusted.refusal import Unreadable, reading
from emo_bench.untrusted.safetensors_file import metadata_object, read_safetensors
from emo_bench.video.sheets import difference, save_sheet

PLATE_FRAMES = 64
RENDER_STATE = "render.pt"


class EmoAvatar(Method):
    """Emo-Avatar (Liu et al. 2024, arXiv 2402.00827v1), written from the paper.

    Files in the workspace: ``init.pt`` (state of the init stage), ``init.png`` (targets, reconstructions, their
    difference), ``interpolation.png`` (between the outermost pivots), ``render.pt`` (state of the render stage),
    ``checkpoint.safetensors`` (the avatar), ``train.csv`` (losses), ``train.png`` (training frames, renderings, their
    difference) and ``stage_seconds.json``.
    """

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = INFO

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.config = resolve_config(workspace.profile, workspace.settings, workspace.capture_px)
        self.resolution_px = self.config.resolution_px
        self._avatar: AvatarRenderer | None = None
        self._pivot_poses_deg: np.ndarray | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(PROFILES)

    @classmethod
    def required_assets(cls, profile: str) -> tuple[str, ...]:
        """Return the prior and the weights of the perceptual loss."""
        config = resolve_config(profile, {})
        return (config.prior, *DISTANCES[config.perceptual].assets)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Run the init stage, then the render stage; each continues where it was interrupted."""
        folder = self.workspace.folder
        train = evenly_spaced(train, self.config.max_train_frames).tolist()
        inputs = self._init_inputs(capture, train) if self.workspace.cache else {}
        if not (folder / INIT_STATE).exists():
            take_stage(self.workspace, "init", inputs, [INIT_STATE])
        resumed = (folder / INIT_STATE).exists()
        clock = StageClock(folder, resumed)
        # A shared init stage counts, and the wait for the process that computes it does not.
        limit = time_limit_of(self.workspace, read_seconds(folder).get("init", 0.0) if resumed else 0.0)
        clock.switch("init")
        perceptual = perceptual_loss(self.config.perceptual, self.workspace.device)
        init = initialize(capture, train, self.config, self.workspace, perceptual, clock.save)
        clock.switch("render")
        clock.save()
        keep_stage(self.workspace, "init", inputs, [INIT_STATE])
        frames = WeightedFrames(capture, train, self.config)
        signals = DrivingSignals(capture, self.config, init.pivot_poses_deg)
        avatar = self._build(init, frames.background_plate(capture.track.foreground, PLATE_FRAMES))
        stage = RenderStage(avatar, frames, signals, self.config, perceptual, self.workspace.seed)
        run_training(
            stage,
            folder,
            self.config.steps,
            self.config.checkpoint_every_steps,
            "emo-avatar: render stage",
            state_name=RENDER_STATE,
            shown=("l1", "perceptual"),
            on_checkpoint=clock.save,
            limit=limit,
        )
        self._avatar = stage.averaged_avatar()
        self._pivot_poses_deg = init.pivot_poses_deg
        self._save_checkpoint(folder / CHECKPOINT)
        self._save_training_sheet(frames, signals)
        clock.save()

    def _init_inputs(self, capture: Capture, train: Sequence[int]) -> dict[str, object]:
        """Return everything that the result of the init stage depends on, besides the seed and the device."""
        config = self.config.model_dump(mode="json")
        return {
            "method": self.info.name,
            "config": {name: config[name] for name in INIT_FIELDS},
            "assets": self._assets(),
            "capture": capture.sha256,
            "train": list(train),
        }

    def _build(self, init: Initialization, plate: Tensor) -> AvatarRenderer:
        torch.manual_seed(self.workspace.seed)
        avatar = AvatarRenderer(self.config, init.generator, init.pivots, plate)
        return avatar.to(self.workspace.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield uint8 ``[R, R, 3]`` frames, driven by the track only."""
        avatar, poses = self.fitted()
        signals = DrivingSignals(capture, self.config, poses, keep_uv=False)
        yield from rendered(avatar, signals, indices, self.workspace.device)

    def edit(self, style: EditStyle, workspace: Workspace) -> Method:
        """Return the edit stage (paper 3.3) as a method; see :class:`emo_avatar.edited_avatar.EditedAvatar`."""
        return EditedAvatar(workspace, self, style)

    def load(self) -> None:
        """Load ``checkpoint.safetensors`` of a finished fit.

        Raises:
            UserError: there is none, or it does not fit this configuration.
        """
        path = self.workspace.folder / CHECKPOINT
        if not path.exists():
            raise UserError(f"{path} is missing: run the fit first")
        tensors, metadata = read_safetensors(path, "fitted avatar", REMEDY)
        with reading(path, "fitted avatar", REMEDY):
            config = config_of(GeneratorConfig, metadata_object(metadata, "generator"))
            prefix = "generator."
            own = {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}
            generator = build_exactly(Generator, config, own)
            self._pivot_poses_deg = tensors.pop("pivot_poses_deg").numpy()
            if self._pivot_poses_deg.shape != (len(tensors["pivots"]), 2):
                raise Unreadable("pivot_poses_deg does not fit its pivots")
            avatar = AvatarRenderer(self.config, generator, tensors["pivots"], tensors["plate"])
            try:
                avatar.load_state_dict(tensors)
            except RuntimeError as error:
                raise UserError(f"{path} was fitted with other settings: use the settings in its run.json") from error
        self._avatar = avatar.to(self.workspace.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def describe(self) -> dict[str, object]:
        """Describe the configuration, the SHA-256 of prior and perceptual weights; once fitted, size and time."""
        described: dict[str, object] = {"config": self.config.model_dump(mode="json"), "assets": self._assets()}
        if self._avatar is not None:
            parameters = list(self._avatar.parameters())
            described["parameters"] = sum(p.numel() for p in parameters)
            described["trained_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
            described["stage_seconds"] = read_seconds(self.workspace.folder)
            taken = stages_taken(self.workspace.folder)
            described |= {"shared_stages": taken} if taken else {}
        return described

    def _assets(self) -> dict[str, str]:
        weights = [assets.require(name) for name in DISTANCES[self.config.perceptual].assets]
        return {"prior": sha256_of(prior_path(self.config.prior)), **{file.path.name: file.sha256 for file in weights}}

    def fitted(self) -> tuple[AvatarRenderer, np.ndarray]:
        """Return the avatar, loaded if needed, and the poses ``[K, 2]`` (yaw, pitch, degrees) of its pivots."""
        if self._avatar is None or self._pivot_poses_deg is None:
            self.load()
        assert self._avatar is not None and self._pivot_poses_deg is not None
        return self._avatar, self._pivot_poses_deg

    def _save_checkpoint(self, path: Path) -> None:
        from dataclasses import asdict

        avatar, poses = self.fitted()
        tensors = dict(avatar.state_dict())
        tensors["pivot_poses_deg"] = torch.from_numpy(np.ascontiguousarray(poses, dtype=np.float32))
        metadata = {"generator": json.dumps(asdict(avatar.generator.config)), "config": self.config.model_dump_json()}
        save_tensors(path, tensors, metadata)

    @torch.inference_mode()
    def _save_training_sheet(self, frames: WeightedFrames, signals: DrivingSignals) -> None:
        avatar, _ = self.fitted()
        rows = np.linspace(0, len(frames) - 1, 8).round().astype(int)
        ours = to_frames_u8(avatar(signals.batch(frames.indices[rows], self.workspace.device)).image)
        truth = to_frames_u8(frames.images(rows))
        gaps = [difference(a, b) for a, b in zip(ours, truth, strict=True)]
        save_sheet(self.workspace.folder / "train.png", [list(truth), list(ours), gaps])
