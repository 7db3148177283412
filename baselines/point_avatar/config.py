"""The configuration of PointAvatar: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

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


class PointAvatarConfig(MethodSettings):
    """Configuration of a fit; defaults are the ``cpu`` profile. ``published``: value of the paper or the release."""

    resolution_px: int = Field(128, ge=16, le=2048, description="published: 512")
    background: Literal["plate", "white"] = Field("plate", description="published: white")
    max_train_frames: int = Field(500, ge=1, le=1_000_000, description="evenly spread over the training frames")

    # points
    start: Literal["hull", "sphere"] = Field("hull", description="published: sphere of radius 0.5")
    first_points: int = Field(9000, ge=16, le=1_000_000, description="published: 400")
    most_points: int = Field(40000, ge=16, le=2_000_000, description="no doubling to more; published: 409,600")
    growths: int = Field(2, ge=0, le=20, description="doublings; published: every 5 epochs of 62")
    growth_share: float = Field(0.45, gt=0, le=1, description="the last doubling comes at this share of the steps")
    prune_below: float = Field(
        0.15, ge=0, lt=1, description="points of a smaller greatest weight are pruned; published: 0.5"
    )
    keep_front_most: bool = Field(
        True, description="a point that was the nearest of a pixel is not pruned; published: true"
    )
    prunings: int = Field(0, ge=0, le=1_000_000, description="besides those before a doubling; published: one an epoch")
    prune_least_radius: float = Field(0.006, ge=0, le=10, description="no pruning below this radius; published: 0.006")
    least_seen: float = Field(
        0.1, ge=0, lt=1, description="weight below which a point waits for its next step; published: 0"
    )
    first_colours: int = Field(
        24, ge=0, le=100_000, description="frames that points take their first albedo from; published: 0, a network's"
    )
    points_a_pixel: int = Field(10, ge=1, le=256, description="published: 10")
    radius_scale: float = Field(
        1.0, gt=0, le=100, description="of the published first radius 0.3 * 0.75^log2(N / 100); * 0.75 a doubling"
    )

    # networks
    deformer_width: int = Field(64, ge=4, le=4096, description="published: 128")
    deformer_layers: int = Field(2, ge=1, le=32, description="published: 4")
    canonical_width: int = Field(64, ge=4, le=4096, description="published: 256")
    canonical_layers: int = Field(3, ge=2, le=32, description="published: 8")
    frequencies: int = Field(6, ge=0, le=16, description="frequencies of the positional encoding; published: 6")
    shading_width: int = Field(64, ge=4, le=4096, description="published: 64")
    albedo: Literal["points", "network"] = Field(
        "points", description="published: the canonical network; points learn theirs in fewer steps"
    )
    albedo_steepness: float = Field(
        1.0, gt=0, le=100, description="the network's albedo is sigmoid(steepness * x); published: 10"
    )

    # losses
    rgb_weight: LossWeight = Field(1.0, description="published: 1")
    mask_weight: LossWeight = Field(1.0, description="published: 1")
    perceptual_weight: LossWeight = Field(0.1, description="published: 0.1, L1 of VGG-16 features")
    perceptual_every: int = Field(
        3, ge=1, le=1_000_000, description="steps between two looks of that loss; published: 1"
    )
    perceptual: PerceptualName = "stlpips-alex"
    rig_weight: LossWeight = Field(10.0, description="published: 10, of the FLAME loss")
    sdf_weight: LossWeight = Field(1.0, description="published: 1")
    eikonal_weight: LossWeight = Field(0.1, description="published: 0.1")

    # optimisation
    steps: StepCount = Field(1500, description="published: 62 epochs, of 2,000 frames 15,500 batches")
    batch: BatchSize = Field(1, description="frames of a step; published: 8 at most")
    lr: LearningRate = Field(2e-3, description="published: 1e-4")
    point_lr: LearningRate = Field(2e-4, description="metres a step; published: 1e-4")
    albedo_lr: LearningRate = Field(5e-2, description="learning rate of the points' own albedo")
    final_lr_share: Share = Field(0.05, description="cosine to this share; published: 1")
    lr_halved_at: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (), description="shares of the steps; published: epochs 40, 60 of 62"
    )
    refine_track: bool = Field(
        False, description="expression, pose and camera of training frames are refined too; published: true"
    )
    refine_from: Share = Field(10 / 62, description="share of the steps without it; published: 10 epochs of 62")
    refine_lr: LearningRate = Field(
        5e-4, description="of coefficients, radians and quarter metres, constant; published: 5e-4"
    )
    checkpoint_every_steps: CheckpointInterval = 100


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "max_train_frames": 24, "first_points": 1000, "most_points": 4000, "growths": 2,
    "deformer_width": 32, "canonical_width": 32, "canonical_layers": 2, "shading_width": 32, "steps": 60,
    "perceptual_weight": 0.0, "checkpoint_every_steps": 15,
}  # fmt: skip
_GPU: dict[str, Any] = {
    "first_points": 20000, "most_points": 160000, "growths": 3, "deformer_width": 128, "canonical_width": 128,
    "canonical_layers": 4, "steps": 4000, "lr": 1e-3, "checkpoint_every_steps": 500,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 512, "max_train_frames": 20000, "start": "sphere", "first_points": 400,
    "most_points": 409600, "growths": 12, "least_seen": 0.0, "first_colours": 0, "prune_below": 0.5,
    "perceptual_every": 1, "growth_share": 60 / 62, "prunings": 62, "deformer_width": 128,
    "deformer_layers": 4, "canonical_width": 256, "canonical_layers": 8, "albedo": "network",
    "albedo_steepness": 10.0, "refine_track": True,
    "perceptual": "lpips-vgg", "steps": 15500, "batch": 8, "final_lr_share": 1.0, "lr_halved_at": (40 / 62, 60 / 62),
    "lr": 1e-4, "point_lr": 1e-4, "checkpoint_every_steps": 2000,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
