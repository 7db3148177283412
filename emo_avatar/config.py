"""Every choice of Emo-Avatar as a named field of one frozen config; profiles and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emo_avatar.prior import SMALL, default_prior
from emo_bench.errors import UserError


class EmoAvatarConfig(BaseModel):
    """The full configuration of a fit.

    Defaults are the ``recommended`` preset of the ``cpu`` profile. ``paper`` in a description means the paper says
    so; everything else settles what the paper leaves open (methods.md C).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["recommended", "literal"] = "recommended"
    resolution_px: int = Field(128, ge=32, le=1024)
    prior: str = Field(
        default_factory=default_prior, description="a StyleGAN2 of docs/assets.md, or the path of one"
    )

    # init: few-shot PTI (3.2.1)
    pivot_choice: Literal["extreme", "random"] = Field(
        "extreme", description="paper: extreme head poses; random frames are the ablation of figure 6"
    )
    pivot_count: int = Field(
        4, ge=1, le=64, description="paper: 4; of extreme ones at least 2, left and right"
    )
    inversion_crop: Literal["aligned", "frame"] = Field(
        "aligned", description="paper: aligned heads; whole frames are the ablation Unaligned-Inv"
    )
    projection_steps: int = Field(60, ge=1)
    projection_lr: float = 0.05
    projection_mse_weight: float = Field(
        1.0, description="pixel term beside the perceptual one; PTI has none"
    )
    tuning_steps: int = Field(130, ge=0)
    tuning_lr: float = Field(2e-2, description="a small prior bears and needs more than FFHQ's 3e-4")
    tuning_mse_weight: float = 3.0
    base_code: Literal["mean", "pose"] = "mean"

    # neural texture (3.2.2)
    texture_channels: int = Field(12, ge=3, description="paper: 12")
    texture_levels: int = Field(4, ge=1)
    texture_px: int = Field(256, ge=32)
    texture_lr: float = 1e-2
    texture_decay: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 0.0)

    # motion flow (3.2.2)
    expression_window: int = Field(5, ge=1, description="paper: 5, two frames before and two after")
    motion_width: int = 256
    flow_px: int = Field(64, ge=64)
    flow_widths: tuple[int, ...] = Field((32, 64, 96, 128, 128), description="paper: 5 layers")
    flow_mode: Literal["none", "warp", "warp+residual"] = "warp+residual"
    max_displacement: float = 0.1
    flow_l1_weight: float = 1e-3
    flow_tv_weight: float = 1e-3

    # encoder and skip fusion
    encoder_width: int = 32
    encoder_max_width: int = 128
    encoder_context: bool = Field(True, description="lead coarse features back up before they are fused")
    skip_resolutions: tuple[int, ...] = (16, 32, 64, 128)
    placement: Literal["none", "replace", "warp"] = "warp"
    background_plate: bool = True
    freeze_stylegan: bool = Field(True, description="paper: frozen; False is the NE-Avatar ablation")

    # losses (3.2.3)
    texture_weight: float = 1.0
    l1_weight: float = 10.0
    feature_weight: float = Field(
        12.0, description="extra L1 weight of mouth and eyes; 0 is the paper's plain L1"
    )
    perceptual_weight: float = 1.0
    perceptual: str = "stlpips-alex"
    perceptual_share: float = Field(
        0.5, gt=0, le=1, description="share of a batch the perceptual loss looks at"
    )
    mouth_perceptual_weight: float = Field(
        1.0, description="the perceptual loss of the mouth alone, enlarged; 0 is the paper's loss"
    )
    mouth_px: int = Field(64, ge=32, description="side to which the mouth is enlarged for it")
    gan_weight: float = 0.1
    gan_loss: Literal["bce", "hinge", "lsgan"] = "bce"
    gan_start_step: int = 500
    discriminator_width: int = 32
    discriminator_lr: float = 2e-4

    # optimisation
    steps: int = Field(950, ge=1)
    batch: int = Field(4, ge=1)
    lr: float = 1.5e-3
    final_lr_share: float = 0.05
    ema_half_life_images: float = 400.0
    max_train_frames: int = Field(
        1200, ge=4, description="a fit takes so many of the training frames, evenly spread, and no other"
    )
    bf16: bool = True
    checkpoint_every_steps: int = 50


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "prior": SMALL, "projection_steps": 20, "tuning_steps": 20, "texture_px": 128, "flow_px": 64,
    "flow_widths": (16, 24, 32, 48, 48), "encoder_width": 16, "encoder_max_width": 64,
    "skip_resolutions": (16, 32, 64), "steps": 60, "batch": 4, "gan_start_step": 40, "max_train_frames": 60,
    "checkpoint_every_steps": 20, "ema_half_life_images": 40.0,
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
    "flow_mode": "warp", "background_plate": False, "feature_weight": 0.0, "placement": "none",
    "mouth_perceptual_weight": 0.0, "encoder_context": False, "gan_start_step": 0,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "paper": _PAPER}
PRESETS: dict[str, dict[str, Any]] = {"recommended": {}, "literal": _LITERAL}


def resolve_config(profile: str, settings: Mapping[str, str]) -> EmoAvatarConfig:
    """Lay a preset over a profile and the user's settings over both.

    Args:
        profile: ``smoke``, ``cpu`` or ``paper``.
        settings: field names and values as text, as given with ``--set``; tuples are written ``16,32,64``.

    Raises:
        UserError: an unknown profile, preset or field, or a value that does not fit.
    """
    if profile not in PROFILES:
        raise UserError(f"emo-avatar has no profile '{profile}': choose one of {', '.join(PROFILES)}")
    preset = settings.get("preset", "recommended")
    if preset not in PRESETS:
        raise UserError(f"emo-avatar has no preset '{preset}': choose one of {', '.join(PRESETS)}")
    values: dict[str, Any] = {**PROFILES[profile], **PRESETS[preset]}
    for key, text in settings.items():
        field = EmoAvatarConfig.model_fields.get(key)
        is_tuple = field is not None and str(field.annotation).startswith("tuple")
        values[key] = tuple(part for part in text.split(",") if part) if is_tuple else text
    try:
        config = EmoAvatarConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"--set {name}: {first['msg']}; see 'emo-bench methods show emo-avatar'") from error
    _check(config)
    return config


def _check(config: EmoAvatarConfig) -> None:
    if config.pivot_choice == "extreme" and config.pivot_count < 2:
        raise UserError(
            "--set pivot_count=1: extreme poses are at least two; one frame goes with pivot_choice=random"
        )
    if config.inversion_crop == "frame" and config.placement == "warp":
        raise UserError(
            "--set inversion_crop=frame: a whole frame has no aligned head to put in its place; add --set placement=none"
        )
    if config.expression_window % 2 == 0:
        raise UserError(f"--set expression_window={config.expression_window}: it must be odd")
    from emo_bench.perceptual import DISTANCES

    if config.perceptual not in DISTANCES:
        raise UserError(f"--set perceptual={config.perceptual}: choose one of {', '.join(DISTANCES)}")
    bad = [r for r in config.skip_resolutions if r > config.resolution_px or r < 8 or r & (r - 1)]
    if bad:
        raise UserError(f"--set skip_resolutions: {bad} are not powers of two from 8 to resolution_px")
    if config.resolution_px & (config.resolution_px - 1):
        raise UserError(f"--set resolution_px={config.resolution_px}: it must be a power of two")
    if len(config.texture_decay) < config.texture_levels:
        raise UserError("--set texture_decay: it needs one value a texture level")
