"""The configuration of TokenFlow: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from emo_bench.methods.interface import GPU_PROFILE, PAPER_PROFILE, SMOKE_PROFILE
from emo_bench.methods.settings import BatchSize, MethodSettings


class TokenFlowConfig(MethodSettings):
    """Configuration of an edit; defaults are the ``cpu`` profile. ``published``: value of the release's example."""

    model: str = Field("portraits-diffusion", description="published: stabilityai/stable-diffusion-2-1-base")
    size_px: int = Field(128, ge=8, le=2048, description="published: 512")
    steps: int = Field(25, ge=1, le=1000, description="published: 50")
    inversion_substeps: int = Field(2, ge=1, le=1000, description="inversion steps for each step; published: 10")
    guidance_scale: float = Field(7.5, ge=1, le=100, description="published: 7.5")
    negative_text: str = Field("", description="published: ugly, blurry, low res, unrealistic, unaesthetic")
    batch: BatchSize = Field(8, description="frames that go through the network at once; published: 8")
    attention_share: float = Field(0.5, ge=0, le=1, description="steps with injected attention; published: 0.5")
    features_share: float = Field(0.8, ge=0, le=1, description="steps with injected features; published: 0.8")


_PUBLISHED = {
    "model": "stable-diffusion-2-1-base",
    "size_px": 512,
    "steps": 50,
    "inversion_substeps": 10,
    "negative_text": "ugly, blurry, low res, unrealistic, unaesthetic",
}
PROFILES: dict[str, dict[str, Any]] = {
    SMOKE_PROFILE: {"steps": 4, "inversion_substeps": 1},
    "cpu": {},
    GPU_PROFILE: {"steps": 50, "inversion_substeps": 4},
    PAPER_PROFILE: _PUBLISHED,
}
