"""The configuration of Deep Video Portraits: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from emo_bench.methods.settings import CheckpointInterval, LearningRate, LossWeight, MethodSettings, Share, StepCount


class DeepVideoPortraitsConfig(MethodSettings):
    """Configuration of a fit; defaults are the ``cpu`` profile. ``published`` gives the paper's value."""

    resolution_px: int = Field(128, ge=16, le=1024, description="published: 256; a power of two")
    max_train_frames: int = Field(
        1000, ge=2, le=1_000_000, description="evenly spread over the training frames; published: all"
    )

    # conditioning
    window: int = Field(11, ge=1, le=101, description="published: 11 frames, the current one last")
    texture_px: int = Field(128, ge=16, le=4096, description="size of the colour texture of the rendering")
    look_frames: int = Field(64, ge=1, le=100_000, description="training frames that the colours are taken from")

    # networks
    levels: int = Field(0, ge=0, le=12, description="halvings of the U-Net; 0: down to one pixel. published: 8")
    width: int = Field(32, ge=4, le=1024, description="channels of the first level; published: 64")
    max_width: int = Field(256, ge=4, le=4096, description="published: 512")
    last_width: int = Field(16, ge=3, le=1024, description="channels at full resolution; the paper is silent")
    dropout: float = Field(0.5, ge=0, lt=1, description="in the three deepest decoder levels; published: 0.5")
    discriminator_width: int = Field(24, ge=4, le=1024, description="published: 64")
    discriminator_window: int = Field(
        1, ge=1, le=101, description="frames of the volume the discriminator sees; published: all 11"
    )

    # losses
    l1_weight: LossWeight = Field(100.0, description="published: 100")
    gan_weight: LossWeight = Field(1.0, description="published: 1")

    # optimisation
    steps: StepCount = Field(1100, description="published: 31,000")
    batch: int = Field(8, ge=2, le=1024, description="published: 16")
    lr: LearningRate = Field(1e-3, description="published: 2e-4")
    discriminator_lr: LearningRate = Field(2e-4, description="published: 2e-4")
    final_lr_share: Share = Field(0.02, description="the rate falls to it as a cosine; published: 1")
    bf16: bool = Field(True, description="mixed precision")
    checkpoint_every_steps: CheckpointInterval = 100

    @model_validator(mode="after")
    def _sizes(self) -> DeepVideoPortraitsConfig:
        size = self.resolution_px
        if size & (size - 1):
            raise ValueError(f"resolution_px={size} is not a power of two")
        if self.depth < 2 or 2**self.depth > size:
            raise ValueError(f"levels={self.levels}: {size} px allow 2 to {size.bit_length() - 1}")
        if self.discriminator_window > self.window:
            raise ValueError(f"discriminator_window={self.discriminator_window} is larger than window ({self.window})")
        return self

    @property
    def depth(self) -> int:
        """The number of levels of the U-Net."""
        return self.levels or self.resolution_px.bit_length() - 1


_SMOKE: dict[str, Any] = {
    "resolution_px": 32, "max_train_frames": 24, "window": 3, "texture_px": 32, "look_frames": 8, "width": 8,
    "max_width": 32, "last_width": 8, "discriminator_width": 8, "steps": 60, "batch": 4, "checkpoint_every_steps": 10,
}  # fmt: skip
_GPU: dict[str, Any] = {
    "texture_px": 256, "look_frames": 128, "width": 48, "max_width": 384, "last_width": 32, "discriminator_width": 48,
    "steps": 4000, "lr": 5e-4, "checkpoint_every_steps": 250,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 256, "max_train_frames": 20000, "texture_px": 512, "look_frames": 256, "width": 64,
    "max_width": 512, "last_width": 64, "discriminator_width": 64, "discriminator_window": 11, "steps": 31000,
    "batch": 16, "lr": 2e-4, "final_lr_share": 1.0, "checkpoint_every_steps": 500,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
