"""The init stage: few-shot PTI on the frames with the most extreme head poses (paper 3.2.1), and its ablations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emo_avatar.alignment import align_ffhq, ffhq_quad
from emo_avatar.config import EmoAvatarConfig
from emo_avatar.inversion import InversionConfig, extreme_frames, invert, random_frames
from emo_avatar.prior import load_prior
from emo_avatar.stylegan2 import Generator
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.frames import to_frames_u8, to_unit_range
from emo_bench.methods.training.state_file import load_state, save_state
from emo_bench.progress import track_progress
from emo_bench.video.sheets import difference, save_sheet

CHECKPOINT_EVERY_STEPS = 25
INIT_STATE = "init.pt"
INTERPOLATION_STEPS = 9
# The fields that the result depends on, besides the frames, the seed and the weights of prior and perceptual distance.
INIT_FIELDS = (
    "resolution_px", "pivot_choice", "pivot_count", "inversion_crop", "projection_steps", "projection_lr",
    "projection_mse_weight", "tuning_steps", "tuning_lr", "tuning_mse_weight", "perceptual", "bf16",
    "max_train_frames",
)  # fmt: skip


@dataclass(frozen=True)
class Initialization:
    """A generator tuned to one person.

    Attributes:
        generator: the tuned StyleGAN2.
        pivots: ``[K, num_ws, w_dim]``, one code per pivot frame.
        frame_indices: ``[K]`` int64, the pivot frames.
        pivot_poses_deg: ``[K, 2]``, their yaw and pitch.
    """

    generator: Generator
    pivots: Tensor
    frame_indices: np.ndarray
    pivot_poses_deg: np.ndarray


def aligned_heads(capture: Capture, indices: Sequence[int], size_px: int) -> np.ndarray:
    """Return FFHQ-aligned crops of some frames, uint8 ``[N, S, S, 3]``.

    Raises:
        UserError: all landmarks of a frame are at one place, so that the size of its crop is unknown.
    """
    landmarks = capture.track.landmarks68[np.asarray(indices)]
    for index, quad in zip(indices, ffhq_quad(landmarks), strict=True):
        if not np.isfinite(quad).all() or np.ptp(quad) < 1.0:
            raise UserError(
                f"actor {capture.name}: the landmarks of frame {index} show no face (all lie at one place): "
                "add the video again"
            )
    frames = capture.frames(indices)
    return np.stack([align_ffhq(frame, marks, size_px) for frame, marks in zip(frames, landmarks, strict=True)])


def pivot_frames(poses_deg: np.ndarray, train: Sequence[int], config: EmoAvatarConfig, seed: int) -> np.ndarray:
    """Return the frames to invert, ``[K]`` int64, ascending; ``poses_deg [T, 2]`` is yaw and pitch."""
    if config.pivot_choice == "random":
        return np.asarray(random_frames(poses_deg, train, config.pivot_count, seed))
    return np.sort(np.asarray(extreme_frames(poses_deg, train, config.pivot_count)))


def inversion_settings(config: EmoAvatarConfig) -> InversionConfig:
    """Return the settings of few-shot PTI that a method's configuration asks for."""
    return InversionConfig(
        w_steps=config.projection_steps,
        w_lr=config.projection_lr,
        w_mse_weight=config.projection_mse_weight,
        tune_steps=config.tuning_steps,
        tune_lr=config.tuning_lr,
        mse_weight=config.tuning_mse_weight,
        autocast=config.bf16,
    )


def initialize(
    capture: Capture,
    train: Sequence[int],
    config: EmoAvatarConfig,
    workspace: Workspace,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    on_checkpoint: Callable[[], None] = lambda: None,
) -> Initialization:
    """Tune the prior to the actor; continue from ``init.pt`` if it exists.

    This writes ``init.pt`` and, when done, ``init.png`` with targets, reconstructions and their difference, and
    ``interpolation.png``: the generator between the pivots with the largest turns to either side (the paper's figure
    3). From the config it reads only ``INIT_FIELDS`` and the prior. ``on_checkpoint`` is called after each write.

    Raises:
        UserError: there are fewer training frames than pivots, or a loss is not finite.
    """
    poses = capture.track.yaw_pitch_deg()
    indices = pivot_frames(poses, train, config, workspace.seed)
    if config.inversion_crop == "aligned":
        crops = aligned_heads(capture, indices.tolist(), config.resolution_px)
    else:
        crops = np.stack(list(capture.frames(indices.tolist(), size=config.resolution_px)))
    targets = to_unit_range(crops.transpose(0, 3, 1, 2).copy()).to(workspace.device)
    generator = load_prior(config.prior, config.resolution_px).to(workspace.device)
    settings = inversion_settings(config)
    path = workspace.folder / INIT_STATE

    def keep(state: dict[str, Any]) -> None:
        save_state(path, state)
        on_checkpoint()

    total = config.projection_steps + config.tuning_steps
    with track_progress(total, "emo-avatar: few-shot PTI") as advance:
        result = invert(
            generator,
            targets,
            settings,
            perceptual,
            workspace.seed,
            state=load_state(path),
            checkpoint_every=CHECKPOINT_EVERY_STEPS,
            on_checkpoint=keep,
            on_step=lambda **numbers: advance(1, **numbers),
        )
    ours = to_frames_u8(result.reconstructions)
    save_sheet(
        workspace.folder / "init.png",
        [list(crops), list(ours), [difference(a, b) for a, b in zip(ours, crops, strict=True)]],
    )
    if len(indices) > 1:
        ends = [int(np.argmin(poses[indices, 0])), int(np.argmax(poses[indices, 0]))]
        between = interpolated(result.generator, result.pivots[ends], INTERPOLATION_STEPS)
        save_sheet(workspace.folder / "interpolation.png", [list(between)])
    return Initialization(result.generator, result.pivots.detach(), indices, poses[indices].astype(np.float32))


@torch.no_grad()
def interpolated(generator: Generator, ends: Tensor, steps: int) -> np.ndarray:
    """Return pictures on the straight line between two codes ``[2, num_ws, w_dim]``: uint8 ``[steps, R, R, 3]``."""
    shares = torch.linspace(0.0, 1.0, steps, device=ends.device)[:, None, None]
    return to_frames_u8(generator.synthesis(torch.lerp(ends[:1], ends[1:], shares)))
