"""The configuration of Rerender-A-Video: every choice is a field; the profiles."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from baselines.clip_sizes import SIZES_PX
from baselines.diffusion.structure import Kind
from emo_bench.methods.diffusion_memory import DESCRIPTION, Memory
from emo_bench.methods.interface import GPU_PROFILE, PAPER_PROFILE, SMOKE_PROFILE
from emo_bench.methods.pix2pix_models import PORTRAITS_MODEL
from emo_bench.methods.settings import MethodSettings

PAPER_MODEL = "stable-diffusion-1.5"


def _share(default: float, description: str) -> Any:
    return Field(default, ge=0, le=1, description=description)


class RerenderConfig(MethodSettings):
    """Configuration of an edit; defaults are the ``cpu`` profile. ``published``: value of the paper or its release.

    A share of the steps counts from the first step that is taken.
    """

    resolution_px: int = Field(128, ge=32, le=1024, description="side of the frames; published: 512")
    model: str = Field(PORTRAITS_MODEL, description="published: stable-diffusion-1.5")
    size_px: int | None = Field(None, ge=16, le=2048, description="side that the network edits; None: the model's")
    structure: Kind | None = Field(
        None, description="what keeps the structure; None: source if the network sees one; published: controlnet"
    )
    controlnet: str | None = Field(None, description="name or folder; None: that of the model")
    control_scale: float = Field(0.7, ge=0, le=2, description="published for portraits: 0.7")
    edges_low: float = Field(50, ge=0, le=1000, description="threshold of Canny's edges; published for portraits: 50")
    edges_high: float = Field(100, ge=0, le=1000, description="the other one; published for portraits: 100")
    steps: int = Field(20, ge=1, le=1000, description="steps from pure noise; published: 20")
    strength: float | None = Field(
        None, gt=0, le=1, description="share of the steps that are taken; None: 0.75 with structure noise, else 1"
    )
    text_scale: float | None = Field(None, ge=0, le=100, description="None: that of the model; published: 7.5")
    source_scale: float | None = Field(None, ge=0, le=100, description="None: that of the model; for structure source")
    guidance_rescale: float = _share(1.0, "against too strong colours; published: 0")
    negative_text: str = Field("", description="what the frames shall not show")
    interval: int = Field(10, ge=1, le=1000, description="frames from a key frame to the next; published: 10")
    warp_until: float = _share(0.1, "share of the steps with warped latents; published: 0.1")
    fuse_from: float = _share(0.5, "share from which the pixels of key frames come in; published: 0.5")
    fuse_until: float = _share(0.8, "share at which they end; published: 0.8")
    fuse_weight: float = _share(0.5, "weight of these pixels; published: 0.5")
    colour_from: float = _share(0.8, "share from which the colours are the first key frame's; published: 0.8")
    memory: Memory | None = Field(None, description=DESCRIPTION)
    patch_rounds: int = Field(2, ge=0, le=100, description="rounds of PatchMatch; published (EbSynth): 6")


PROFILES: dict[str, dict[str, Any]] = {
    SMOKE_PROFILE: {"steps": 4, "patch_rounds": 1},
    "cpu": {},
    GPU_PROFILE: {},
    PAPER_PROFILE: {
        "resolution_px": SIZES_PX[PAPER_PROFILE],
        "model": PAPER_MODEL,
        "structure": "controlnet",
        "guidance_rescale": 0.0,
        "patch_rounds": 6,
    },
}
