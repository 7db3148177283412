"""The configuration of TokenFlow: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from emo_bench.methods.diffusion_memory import DESCRIPTION, Memory
from emo_bench.methods.interface import GPU_PROFILE, PAPER_PROFILE, SMOKE_PROFILE
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL, suited_settings
from emo_bench.methods.settings import BatchSize, MethodSettings

PAPER_MODEL = "stable-diffusion-2.1-base"
# With more, the bundled network draws rings around head and shoulders where it sees the recorded frames.
SEEING_GUIDANCE = 2.0


class TokenFlowConfig(MethodSettings):
    """Configuration of an edit; defaults are the ``cpu`` profile. ``published``: value of the release's example."""

    resolution_px: int = Field(128, ge=32, le=1024, description="side of the frames; published: 512")
    model: str = Field(PORTRAITS_MODEL, description="published: stable-diffusion-2.1-base")
    size_px: int | None = Field(None, ge=8, le=2048, description="side that the network edits; None: that of the model")
    source: Literal["dropped", "clip"] | None = Field(
        None, description="clip: the network also sees each frame; None: clip if it can; published: dropped"
    )
    steps: int = Field(25, ge=1, le=1000, description="published: 50")
    inversion_substeps: int = Field(2, ge=1, le=1000, description="inversion steps for each step; published: 10")
    guidance_scale: float = Field(
        4.0, ge=1, le=100, description="2 if not given and the bundled network sees the frames; published: 7.5"
    )
    guidance_rescale: float = Field(1.0, ge=0, le=1, description="against too strong colours; published: 0")
    negative_text: str = Field("", description="published: ugly, blurry, low res, unrealistic, unaesthetic")
    batch: BatchSize = Field(8, description="frames that go through the network at once; published: 8")
    window: int | None = Field(
        None, ge=1, le=1_000_000, description="frames that are edited together; None: as memory allows; published: all"
    )
    memory: Memory | None = Field(None, description=DESCRIPTION)
    attention_share: float = Field(0.5, ge=0, le=1, description="steps with injected attention; published: 0.5")
    features_share: float = Field(0.8, ge=0, le=1, description="steps with injected features; published: 0.8")

    @property
    def network_px(self) -> int:
        """The side of the pictures that the network edits."""
        return self.size_px or suited_settings(self.model).size_px


PROFILES: dict[str, dict[str, Any]] = {
    SMOKE_PROFILE: {"steps": 4, "inversion_substeps": 1},
    "cpu": {},
    GPU_PROFILE: {"steps": 50, "inversion_substeps": 4},
    PAPER_PROFILE: {
        "model": PAPER_MODEL,
        "source": "dropped",
        "steps": 50,
        "inversion_substeps": 10,
        "guidance_scale": 7.5,
        "guidance_rescale": 0.0,
        "negative_text": "ugly, blurry, low res, unrealistic, unaesthetic",
    },
}
