"""The configuration of RAVE: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from baselines.clip_sizes import SIZES_PX
from baselines.diffusion.structure import Kind
from emo_bench.methods.diffusion_memory import DESCRIPTION, Memory
from emo_bench.methods.interface import GPU_PROFILE, PAPER_PROFILE, SMOKE_PROFILE
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL, suited_settings
from emo_bench.methods.settings import BatchSize, MethodSettings

PAPER_MODEL = "stable-diffusion-1.5"


class RaveConfig(MethodSettings):
    """Configuration of an edit; defaults are the ``cpu`` profile. ``published``: value of the release's example."""

    resolution_px: int = Field(128, ge=32, le=1024, description="side of the frames; published: 512")
    model: str = Field(PORTRAITS_MODEL, description="published: stable-diffusion-1.5")
    size_px: int | None = Field(None, ge=16, le=2048, description="side of a frame in the grid; None: the model's")
    grid_side: int = Field(3, ge=1, le=16, description="frames on each side of a grid; published: 3")
    shuffle: bool = Field(True, description="whether frames are shuffled before each step; published: true")
    structure: Kind | None = Field(
        None, description="what keeps the structure; None: source if the network sees one; published: controlnet"
    )
    controlnet: str | None = Field(None, description="name or folder; None: that of the model; published: depth")
    control_scale: float = Field(1.0, ge=0, le=2, description="published: 1.0")
    edges_low: float = Field(50, ge=0, le=1000, description="threshold of Canny's edges")
    edges_high: float = Field(100, ge=0, le=1000, description="the other one")
    steps: int = Field(20, ge=1, le=1000, description="published: 50")
    inversion_substeps: int = Field(1, ge=1, le=1000, description="inversion steps for each step; published: 1")
    inversion_text: str = Field("", description="the text of the inversion; published: empty")
    text_scale: float | None = Field(None, ge=0, le=100, description="None: that of the model; published: 7.5")
    source_scale: float | None = Field(None, ge=0, le=100, description="None: that of the model; for structure source")
    guidance_rescale: float = Field(1.0, ge=0, le=1, description="against too strong colours; published: 0")
    negative_text: str = Field("", description="what the frames shall not show")
    memory: Memory | None = Field(None, description=DESCRIPTION)
    batch: BatchSize = Field(1, description="grids that go through the network at once; published: 4")

    @property
    def network_px(self) -> int:
        """The side of a frame in the grid."""
        return self.size_px or suited_settings(self.model).size_px


PROFILES: dict[str, dict[str, Any]] = {
    SMOKE_PROFILE: {"steps": 4},
    "cpu": {},
    GPU_PROFILE: {"steps": 50, "batch": 4},
    PAPER_PROFILE: {
        "resolution_px": SIZES_PX[PAPER_PROFILE],
        "model": PAPER_MODEL,
        "structure": "controlnet",
        "steps": 50,
        "guidance_rescale": 0.0,
        "batch": 4,
    },
}
