"""The configuration of INSTA: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from emo_bench.methods.settings import CheckpointInterval, LearningRate, LossWeight, MethodSettings, Share, StepCount

HashGridKind = Literal["auto", "warp", "tiny-cuda-nn"]


class InstaConfig(MethodSettings):
    """Configuration of a fit; defaults are the ``cpu`` profile. ``published``: value of the paper or the release."""

    resolution_px: int = Field(128, ge=16, le=2048, description="published: 512")
    background: Literal["plate", "white"] = Field("plate", description="published: white")
    max_train_frames: int = Field(300, ge=1, le=1_000_000, description="evenly spread over the training frames")

    # geometry
    samples: int = Field(14, ge=2, le=1024, description="samples per ray, inside the shell")
    shell_face_m: float = Field(0.006, gt=0, le=1, description="the shell outside the skin of the face")
    shell_farthest_m: float = Field(0.07, gt=0, le=1, description="the farthest hair and clothes")
    shell_margin_m: float = Field(0.006, ge=0, le=1, description="added to the visual hull")
    shell_inner_m: float = Field(0.008, gt=0, le=1, description="how far rays go on behind the mesh")
    longest_chord_m: float = Field(0.14, gt=0, le=2, description="for rays that miss the mesh")
    occupancy_cells: int = Field(96, ge=8, le=512, description="cells a side of the occupancy grid")
    occupancy_start: int = Field(150, ge=0, le=100_000_000, description="from this step empty samples are skipped")

    # field
    hash_grid: HashGridKind = Field("auto", description="auto: tiny-cuda-nn's on a GPU that has it, else Warp's")
    levels: int = Field(10, ge=1, le=32, description="published: 16")
    features: int = Field(2, ge=1, le=64, description="published: 8")
    log2_rows: int = Field(16, ge=8, le=24, description="published: 18")
    coarsest: int = Field(16, ge=2, le=1024, description="published: 16")
    finest: int = Field(384, ge=2, le=65_536, description="cells a side of the finest grid")
    width: int = Field(64, ge=4, le=1024, description="published: 64")
    expression_width: int = Field(16, ge=1, le=1024, description="published: 16 coefficients")

    # losses
    huber_delta: float = Field(0.1, gt=0, le=10, description="published: 0.1")
    mouth_weight: float = Field(12.0, ge=1, le=1e6, description="published: 40")
    depth_weight: LossWeight = Field(1.25, description="published: 1.25")
    mask_weight: LossWeight = Field(0.05, description="opacity against the matte, in front of a plate")

    # optimisation
    steps: StepCount = Field(1000, description="published: 20,000 in insta.json, 33,000 in the readme")
    rays: int = Field(1536, ge=1, le=1_000_000, description="rays per step")
    frames_a_step: int = Field(4, ge=1, le=1024)
    lr: LearningRate = Field(8e-3, description="published: 1.75e-3")
    final_lr_share: Share = 0.05
    ema_decay: float = Field(0.95, ge=0, lt=1, description="published: 0.95")
    checkpoint_every_steps: CheckpointInterval = 200
    render_rays: int = Field(8192, ge=1, le=10_000_000, description="rendered at once")

    @model_validator(mode="after")
    def _rays_for_each_frame(self) -> InstaConfig:
        if self.rays < self.frames_a_step:
            raise ValueError(f"rays: {self.rays} rays are not enough for {self.frames_a_step} frames (frames_a_step)")
        return self


_SMOKE: dict[str, Any] = {
    "resolution_px": 64, "max_train_frames": 24, "samples": 8, "levels": 6, "log2_rows": 14, "finest": 192,
    "width": 32, "steps": 120, "rays": 768, "frames_a_step": 2, "checkpoint_every_steps": 20, "occupancy_start": 40,
    "occupancy_cells": 48, "lr": 3e-2, "final_lr_share": 0.3,
}  # fmt: skip
_GPU: dict[str, Any] = {
    "max_train_frames": 500, "samples": 24, "levels": 14, "features": 4, "log2_rows": 18, "finest": 1024, "steps": 5000,
    "rays": 4096, "lr": 5e-3, "checkpoint_every_steps": 500, "occupancy_start": 300, "occupancy_cells": 128,
    "render_rays": 16384,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "resolution_px": 512, "max_train_frames": 20000, "samples": 48, "levels": 16, "features": 8, "log2_rows": 18,
    "finest": 2048, "mouth_weight": 40.0, "steps": 20000, "rays": 4096, "frames_a_step": 4, "lr": 1.75e-3,
    "final_lr_share": 1.0, "checkpoint_every_steps": 1000, "occupancy_start": 500, "occupancy_cells": 128,
    "render_rays": 16384,
}  # fmt: skip

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
