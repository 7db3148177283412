"""The configuration of StyleAvatar: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from emo_bench.methods.settings import (
    BatchSize,
    CheckpointInterval,
    LearningRate,
    LossWeight,
    MethodSettings,
    PerceptualName,
    Share,
    StepCount,
)

BOTTOM_PX = 8


class StyleAvatarConfig(MethodSettings):
    """Configuration of a fit; defaults are the ``cpu`` profile. ``published``: value of the paper or the release."""

    resolution_px: int = Field(128, ge=64, le=1024, description="published: 1024; a power of two")
    input_px: int = Field(128, ge=32, le=512, description="size of the rendering; published: 256. Features have half")
    max_train_frames: int = Field(1000, ge=1, le=1_000_000, description="evenly spread over the training frames")
    render_texture_px: int = Field(128, ge=16, le=4096, description="size of the colour texture of the rendering")
    look_frames: int = Field(64, ge=1, le=100_000, description="training frames that the colours are taken from")

    # neural textures
    texture_px: int = Field(128, ge=8, le=4096, description="size of the face's texture; published: 128")
    background_px: int = Field(64, ge=8, le=1024, description="size of the background's texture; published: 128")
    feature_channels: int = Field(32, ge=1, le=1024, description="published: 256")
    warp: Literal["nearest", "bilinear"] = Field("bilinear", description="published: nearest")
    freeze_step: int = Field(
        1040, ge=0, le=100_000_000, description="after it the textures' generators stay; published: 10,000"
    )

    # StyleUNets
    channel_base: int = Field(2048, ge=64, le=1_048_576, description="channels at r px: this over r; published: 32768")
    channel_max: int = Field(128, ge=8, le=4096, description="published: 512")
    style_dim: int = Field(64, ge=8, le=4096, multiple_of=2, description="published: 64")
    mapping_layers: int = Field(4, ge=1, le=32, description="published: 4")
    time_code: Literal["last", "index", "off"] = Field(
        "last",
        description="of held-out frames: the last training frame's, their own, or no code at all in training either",
    )
    time_span_frames: int = Field(5000, ge=1, le=1_000_000_000, description="published: 5000")

    # sliding window
    sliding_window: bool = Field(True, description="published: on even steps")
    window_spread: float = Field(1 / 24, ge=0, le=0.25, description="spread of the window's place; published: 1/24")

    # losses
    l1_weight: LossWeight = Field(10.0, description="published: 1")
    gan_weight: LossWeight = Field(0.1, description="published: 1")
    mask_weight: LossWeight = Field(3.0, description="published: 3")
    perceptual_weight: LossWeight = Field(1.0, description="published: 0.3 of VGG features")
    perceptual: PerceptualName = Field("stlpips-alex", description="published: VGG")
    perceptual_images: int = Field(
        1,
        ge=1,
        le=1024,
        description="of a batch that this loss looks at, for it takes as long as all else; published: all 3",
    )
    perceptual_gradient: Literal["published", "released"] = Field(
        "published", description="'released': the perceptual loss is logged and leaves the networks alone"
    )
    r1_weight: LossWeight = Field(5.0, description="published: 5")
    r1_every: int = Field(16, ge=1, le=1_000_000, description="published: 16")

    # discriminator
    discriminator_base: int = Field(
        1024, ge=64, le=1_048_576, description="channels at r px: this over r; published: 32768"
    )
    discriminator_max: int = Field(64, ge=8, le=4096, description="published: 512")

    # optimisation
    steps: StepCount = Field(1300, description="published: 800,000; the paper says two hours suffice")
    batch: BatchSize = Field(4, description="published: 3")
    lr: LearningRate = Field(4e-3, description="published: 2e-3")
    momentum: float = Field(0.9, ge=0, lt=1, description="Adam's first beta of the avatar; published: 0")
    final_lr_share: Share = Field(0.05, description="the rate falls to it as a cosine; published: 1")
    clip_norm: float = Field(1.0, gt=0, le=1e6, description="greatest norm of the gradient; published: 1")
    ema_half_life_images: float = Field(400.0, gt=0, le=1e9, description="published: 10,000 steps over 32")
    bf16: bool = Field(True, description="mixed precision")
    checkpoint_every_steps: CheckpointInterval = 100

    @model_validator(mode="after")
    def _sizes(self) -> StyleAvatarConfig:
        for name in ("resolution_px", "input_px", "texture_px", "background_px"):
            size = getattr(self, name)
            if size & (size - 1):
                raise ValueError(f"{name}={size} is not a power of two")
        if self.feature_px < 2 * BOTTOM_PX or self.feature_px > self.resolution_px // 2:
            raise ValueError(f"input_px={self.input_px}: choose from {4 * BOTTOM_PX} to resolution_px")
        for name in ("channel_base", "discriminator_base"):
            if getattr(self, name) < self.wavelet_px:
                raise ValueError(
                    f"{name}={getattr(self, name)} leaves no channel at {self.wavelet_px} px: at least that"
                )
        return self

    @property
    def feature_px(self) -> int:
        """The side of the features that are fused, which is that of the rendering's wavelets."""
        return self.input_px // 2

    @property
    def wavelet_px(self) -> int:
        """The side of the last wavelet bands."""
        return self.resolution_px // 2

    def channels(self, size_px: int) -> int:
        """Return the channels of the StyleUNets at ``size_px``."""
        return min(self.channel_base // size_px, self.channel_max)


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "input_px": 32, "max_train_frames": 24, "render_texture_px": 32, "look_frames": 8,
    "texture_px": 32, "background_px": 16, "feature_channels": 8, "channel_base": 256, "channel_max": 24,
    "style_dim": 16, "freeze_step": 40, "discriminator_base": 256, "discriminator_max": 16, "steps": 60, "batch": 2,
    "lr": 1e-2, "momentum": 0.0,
    "ema_half_life_images": 10.0, "checkpoint_every_steps": 10,
}  # fmt: skip
_GPU: dict[str, Any] = {
    "input_px": lambda resolution_px: min(resolution_px, 256), "render_texture_px": 256, "look_frames": 128,
    "background_px": 128, "feature_channels": 64, "channel_base": 8192, "channel_max": 256, "discriminator_base": 4096,
    "discriminator_max": 128, "steps": 5000, "freeze_step": 4000, "ema_half_life_images": 1000.0,
    "checkpoint_every_steps": 250,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 1024, "input_px": 256, "max_train_frames": 20000, "render_texture_px": 512, "look_frames": 256,
    "background_px": 128, "feature_channels": 256, "warp": "nearest", "freeze_step": 10000,
    "channel_base": 32768, "channel_max": 512, "l1_weight": 1.0, "gan_weight": 1.0, "perceptual_weight": 0.3,
    "perceptual": "lpips-vgg", "perceptual_images": 3, "discriminator_base": 32768, "discriminator_max": 512,
    "steps": 800000, "batch": 3, "lr": 2e-3,
    "momentum": 0.0, "final_lr_share": 1.0, "ema_half_life_images": 937.5, "checkpoint_every_steps": 1000,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
