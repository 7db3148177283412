"""The configuration of FlashAvatar: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from emo_bench.methods.settings import (
    CheckpointInterval,
    LearningRate,
    LossWeight,
    MethodSettings,
    PerceptualName,
    Share,
    StepCount,
)


class FlashAvatarConfig(MethodSettings):
    """Configuration of a fit; defaults are the ``cpu`` profile. ``published``: value of the paper or the release."""

    resolution_px: int = Field(128, ge=16, le=2048, description="published: 512")
    background: Literal["plate", "white"] = Field("plate", description="published: one colour")
    max_train_frames: int = Field(500, ge=1, le=1_000_000, description="evenly spread over the training frames")

    # Gaussians
    uv_px: int = Field(
        128, ge=8, le=1024, description="side of the map that has a Gaussian for each texel; published: 128"
    )
    start: Literal["hull", "mesh"] = Field("hull", description="published: mesh")
    first_size: float = Field(1.0, gt=0, le=100, description="of the mean distance to three neighbours; published: 1")
    first_opacity: float = Field(0.6, gt=0, lt=1, description="published: 0.1")
    first_colours: int = Field(
        24, ge=0, le=100_000, description="frames that Gaussians take their first colour from; 0: all start grey"
    )
    antialiased: bool = Field(False, description="the term of Mip-Splatting; published: false")

    # network
    width: int = Field(64, ge=4, le=4096, description="published: 256")
    layers: int = Field(4, ge=1, le=32, description="published: 6")
    frequencies: int = Field(8, ge=0, le=16, description="of the encoded canonical places; published: 8")

    # losses
    huber_delta: float = Field(0.1, gt=0, le=10, description="published: 0.1")
    mouth_weight: LossWeight = Field(10.0, description="added on pixels of the mouth; published: 40")
    mask_weight: LossWeight = Field(0.01, description="opacity against the matte, in front of a plate")
    perceptual_weight: LossWeight = Field(0.01, description="published: 0.05")
    perceptual_start: Share = Field(0.6, description="share of the steps without it; published: 15,000 of 30,000")
    perceptual_every: int = Field(
        3, ge=1, le=1_000_000, description="steps between two looks of that loss; published: 1"
    )
    perceptual: PerceptualName = "stlpips-alex"

    # optimisation
    steps: StepCount = Field(5000, description="published: 30,000")
    lr: LearningRate = Field(3e-3, description="of the network; published: 1e-4")
    colour_lr: LearningRate = Field(1e-2, description="published: 7e-4, which is 2.5e-3 in spherical harmonics")
    opacity_lr: LearningRate = Field(5e-2, description="of the logit; published: 5e-2")
    scale_lr: LearningRate = Field(2e-2, description="of the logarithm; published: 5e-3")
    rotation_lr: LearningRate = Field(5e-3, description="of the quaternion; published: 1e-3")
    final_lr_share: Share = Field(0.05, description="cosine to this share; published: 1")
    checkpoint_every_steps: CheckpointInterval = 250


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "max_train_frames": 24, "uv_px": 40, "width": 32, "layers": 2, "steps": 80,
    "perceptual_weight": 0.0, "lr": 4e-3, "colour_lr": 2e-2, "scale_lr": 3e-2, "checkpoint_every_steps": 20,
}  # fmt: skip
_GPU: dict[str, Any] = {
    "uv_px": 160, "width": 128, "layers": 6, "steps": 10000, "checkpoint_every_steps": 1000,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 512, "max_train_frames": 20000, "uv_px": 128, "start": "mesh", "first_size": 1.0,
    "first_opacity": 0.1, "first_colours": 0, "width": 256, "layers": 6, "mouth_weight": 40.0,
    "perceptual_weight": 0.05, "perceptual_start": 0.5, "perceptual_every": 1, "perceptual": "lpips-vgg",
    "steps": 30000, "lr": 1e-4, "colour_lr": 7e-4, "scale_lr": 5e-3, "rotation_lr": 1e-3, "final_lr_share": 1.0,
    "checkpoint_every_steps": 2000,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
