"""The configuration of Emo-Avatar: every choice is a named field of one frozen model; profiles and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emo_avatar.prior import SMALL, default_prior
from emo_bench.errors import SettingError, UserError, shortened
from emo_bench.methods.interface import GPU_PROFILE, MethodInfo, gpu_resolution_px
from emo_bench.methods.max_minutes import without_limit
from emo_bench.methods.settings import (
    BatchSize,
    CheckpointInterval,
    LearningRate,
    LossWeight,
    MethodSettings,
    PerceptualName,
    Share,
    StepCount,
    resolve,
)

_Width = Annotated[int, Field(ge=1, le=4096)]
_Decay = Annotated[float, Field(ge=0, le=10)]


INFO = MethodInfo(
    name="emo-avatar",
    title="Emo-Avatar",
    paper="Liu, Song et al. 2024, Emo-Avatar, arXiv 2402.00827v1",
    licence="Apache-2.0 (this implementation)",
    capabilities=frozenset({"render", "edit", "novel-view"}),
    requirements=(),
    fidelity="whole method from the paper; open choices are fields of the config, preset 'literal' follows the text",
)


class EmoAvatarConfig(MethodSettings):
    """The full configuration of a fit.

    Defaults are the ``recommended`` preset of the ``cpu`` profile. ``paper`` in a description means that the paper
    states this value. The paper leaves all other choices open; docs/emo-avatar.md explains ours.
    """

    preset: Literal["recommended", "literal"] = "recommended"
    resolution_px: int = Field(128, ge=32, le=1024, description="a power of two")
    prior: str = Field(default_factory=default_prior, description="a StyleGAN2 of docs/assets.md, or the path of one")

    # init: few-shot PTI (3.2.1)
    pivot_choice: Literal["extreme", "random"] = Field(
        "extreme", description="paper: extreme head poses; random frames are the ablation of figure 6"
    )
    pivot_count: int = Field(4, ge=1, le=64, description="paper: 4; of extreme ones at least 2, left and right")
    inversion_crop: Literal["aligned", "frame"] = Field(
        "aligned", description="paper: aligned heads; whole frames are the ablation Unaligned-Inv"
    )
    projection_steps: int = Field(60, ge=1, le=1_000_000)
    projection_lr: LearningRate = 0.05
    projection_mse_weight: LossWeight = Field(1.0, description="pixel term beside the perceptual one; PTI has none")
    tuning_steps: int = Field(130, ge=0, le=1_000_000)
    tuning_lr: LearningRate = Field(2e-2, description="a small prior bears and needs more than FFHQ's 3e-4")
    tuning_mse_weight: LossWeight = 3.0
    base_code: Literal["mean", "pose"] = "mean"

    # neural texture (3.2.2)
    texture_channels: int = Field(12, ge=3, le=256, description="paper: 12")
    texture_levels: int = Field(4, ge=1, le=12)
    texture_px: int = Field(256, ge=32, le=4096)
    texture_lr: LearningRate = 1e-2
    texture_decay: tuple[_Decay, ...] = Field(
        (1e-2, 1e-3, 1e-4, 0.0), description="decay of each texture level, the finest first"
    )

    # motion flow (3.2.2)
    expression_window: int = Field(5, ge=1, le=101, description="odd; paper: 5, two frames before and two after")
    motion_width: int = Field(256, ge=1, le=4096)
    flow_px: int = Field(64, ge=64, le=1024, description="a power of two")
    flow_widths: tuple[_Width, ...] = Field(
        (32, 64, 96, 128, 128), min_length=1, description="each halves flow_px; paper: 5 layers"
    )
    flow_mode: Literal["none", "warp", "warp+residual"] = "warp+residual"
    max_displacement: float = Field(0.1, ge=0, le=1)
    flow_l1_weight: LossWeight = 1e-3
    flow_tv_weight: LossWeight = 1e-3

    # encoder and skip fusion
    encoder_width: int = Field(32, ge=1, le=1024)
    encoder_max_width: int = Field(128, ge=1, le=4096)
    encoder_context: bool = Field(True, description="lead coarse features back up before they are fused")
    skip_resolutions: tuple[int, ...] = Field(
        (16, 32, 64, 128), min_length=1, description="powers of two from 8 to resolution_px"
    )
    placement: Literal["none", "replace", "warp"] = "warp"
    background_plate: bool = True
    freeze_stylegan: bool = Field(True, description="paper: frozen; False is the NE-Avatar ablation")

    # losses (3.2.3)
    texture_weight: LossWeight = 1.0
    l1_weight: LossWeight = 10.0
    feature_weight: LossWeight = Field(12.0, description="extra L1 weight of mouth and eyes; 0 is the paper's plain L1")
    perceptual_weight: LossWeight = 1.0
    perceptual: PerceptualName = "stlpips-alex"
    perceptual_share: float = Field(0.5, gt=0, le=1, description="share of a batch the perceptual loss looks at")
    mouth_perceptual_weight: LossWeight = Field(
        1.0, description="the perceptual loss of the mouth alone, enlarged; 0 is the paper's loss"
    )
    mouth_px: int = Field(64, ge=32, le=1024, description="side to which the mouth is enlarged for it")
    gan_weight: LossWeight = 0.1
    gan_loss: Literal["bce", "hinge", "lsgan"] = "bce"
    gan_start_step: int = Field(500, ge=0, le=100_000_000)
    discriminator_width: int = Field(32, ge=1, le=1024)
    discriminator_lr: LearningRate = 2e-4

    # optimisation
    steps: StepCount = 950
    batch: BatchSize = 4
    lr: LearningRate = 1.5e-3
    final_lr_share: Share = 0.05
    ema_half_life_images: float = Field(400.0, gt=0, le=1e9)
    max_train_frames: int = Field(
        1200, ge=4, le=1_000_000, description="a fit takes so many of the training frames, evenly spread, and no other"
    )
    bf16: bool = True
    checkpoint_every_steps: CheckpointInterval = 50

    @model_validator(mode="after")
    def _fits_together(self) -> EmoAvatarConfig:
        wrong = _sizes_at_odds(self) or _choices_at_odds(self)
        if wrong:
            raise ValueError(wrong)
        return self


def _sizes_at_odds(config: EmoAvatarConfig) -> str | None:
    """Return in one line why the networks cannot have these sizes."""
    for name in ("resolution_px", "flow_px"):
        if not _power_of_two(getattr(config, name)):
            return f"{name}={getattr(config, name)}: it must be a power of two"
    bad = [r for r in config.skip_resolutions if r > config.resolution_px or r < 8 or not _power_of_two(r)]
    if bad:
        return f"skip_resolutions: {bad[0]} is not a power of two from 8 to resolution_px ({config.resolution_px})"
    if len(set(config.skip_resolutions)) < len(config.skip_resolutions):
        return "skip_resolutions: give each once"
    # Each layer halves the side; instance normalisation needs more than one texel.
    layers = config.flow_px.bit_length() - 2
    if len(config.flow_widths) > layers:
        return f"flow_widths: flow_px={config.flow_px} allows {layers} layers at most, not {len(config.flow_widths)}"
    if len(config.texture_decay) < config.texture_levels:
        return f"texture_decay: it needs one value a texture level ({config.texture_levels})"
    if config.expression_window % 2 == 0:
        return f"expression_window={config.expression_window}: it must be odd"
    return None


def _choices_at_odds(config: EmoAvatarConfig) -> str | None:
    """Return in one line which choices exclude each other or are not possible."""
    if config.pivot_choice == "extreme" and config.pivot_count < 2:
        return "pivot_count=1: extreme poses are at least two; one frame goes with pivot_choice=random"
    if config.pivot_count > config.max_train_frames:
        return f"pivot_count={config.pivot_count}: at most max_train_frames ({config.max_train_frames})"
    if config.inversion_crop == "frame" and config.placement == "warp":
        return "inversion_crop=frame: a whole frame has no aligned head to put in its place; add --set placement=none"
    return None


def _power_of_two(number: int) -> bool:
    return number > 0 and not number & (number - 1)


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "prior": SMALL, "projection_steps": 20, "tuning_steps": 20, "texture_px": 128, "flow_px": 64,
    "flow_widths": (16, 24, 32, 48, 48), "encoder_width": 16, "encoder_max_width": 64,
    "skip_resolutions": (16, 32, 64), "steps": 60, "batch": 4, "gan_start_step": 40, "max_train_frames": 60,
    "checkpoint_every_steps": 20, "ema_half_life_images": 40.0,
}  # fmt: skip
# The sizes of this profile follow the resolution: see _gpu_sizes.
_GPU: dict[str, Any] = {
    "projection_steps": 100, "tuning_steps": 250, "encoder_max_width": 256, "perceptual_share": 1.0,
    "discriminator_width": 48, "steps": 3000, "gan_start_step": 1000, "max_train_frames": 2000,
    "ema_half_life_images": 1200.0, "checkpoint_every_steps": 250,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 512, "prior": "ffhq-512", "projection_steps": 450, "projection_lr": 0.01,
    "projection_mse_weight": 0.0, "tuning_steps": 350, "tuning_lr": 3e-4, "tuning_mse_weight": 1.0,
    "texture_px": 512, "flow_px": 256, "flow_widths": (32, 64, 128, 256, 256), "encoder_width": 32,
    "encoder_max_width": 512, "skip_resolutions": (16, 32, 64, 128, 256), "perceptual": "lpips-vgg",
    "perceptual_share": 1.0, "mouth_px": 128,
    "discriminator_width": 64, "steps": 15000, "lr": 1e-4, "texture_lr": 1e-3, "final_lr_share": 1.0,
    "gan_start_step": 1500, "max_train_frames": 20000, "checkpoint_every_steps": 500,
    "ema_half_life_images": 10000.0,
}  # fmt: skip
_LITERAL: dict[str, Any] = {
    "flow_mode": "warp",
    "background_plate": False,
    "feature_weight": 0.0,
    "placement": "none",
    "mouth_perceptual_weight": 0.0,
    "encoder_context": False,
    "gan_start_step": 0,
}

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
PRESETS: dict[str, dict[str, Any]] = {"recommended": {}, "literal": _LITERAL}


def resolve_config(profile: str, settings: Mapping[str, str], capture_px: int | None = None) -> EmoAvatarConfig:
    """Return the configuration of a fit: a preset replaces values of the profile, and the user's settings replace both.

    Args:
        profile: ``smoke``, ``cpu``, ``gpu`` or ``paper``.
        settings: field names and values as text, as given with ``--set``; tuples are written ``16,32,64``.
        capture_px: side of the capture's frames, which profile ``gpu`` renders at.

    Raises:
        UserError: an unknown profile.
        SettingError: an unknown preset or field, or a value that does not fit.
    """
    if profile not in PROFILES:
        raise UserError(f"emo-avatar has no profile '{profile}': choose one of {', '.join(PROFILES)}")
    preset = settings.get("preset", "recommended")
    if preset not in PRESETS:
        raise SettingError(f"emo-avatar: --set preset={shortened(preset, 40)}: choose one of {', '.join(PRESETS)}")
    values: dict[str, Any] = {**PROFILES[profile], **PRESETS[preset]}
    if profile == GPU_PROFILE:
        values |= _gpu_sizes(gpu_resolution_px(capture_px, settings.get("resolution_px")))
    return resolve(EmoAvatarConfig, values, without_limit(settings), name="emo-avatar")


def _gpu_sizes(resolution_px: int) -> dict[str, Any]:
    """Return the sizes of profile ``gpu`` at a resolution; one that is not a power of two is refused afterwards."""
    return {
        "resolution_px": resolution_px,
        "skip_resolutions": tuple(side for side in (16, 32, 64, 128, 256) if side <= resolution_px),
        "texture_px": max(256, resolution_px),
        "flow_px": max(64, min(resolution_px // 2, 256)),
        "mouth_px": max(64, min(resolution_px // 2, 128)),
    }
