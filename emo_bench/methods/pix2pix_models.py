"""The weights of editor ``instruct-pix2pix``: which are used if a style names none, and the settings that suit them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.methods.diffusion_pipelines import folder_remedy, pipeline_folder

INSTRUCT_PIX2PIX = "StableDiffusionInstructPix2PixPipeline"
# The name of InstructPix2Pix's own weights, which the user has, and of those that this project trains and ships.
PAPER_MODEL, PORTRAITS_MODEL = "instruct-pix2pix", "portraits-diffusion"


@dataclasses.dataclass(frozen=True)
class SuitedSettings:
    """Settings that suit a model.

    Attributes:
        steps: denoising steps.
        text_scale, image_scale: how strongly instruction and picture guide.
        size_px: side of the picture that the model edits.
    """

    steps: int
    text_scale: float
    image_scale: float
    size_px: int


# InstructPix2Pix: the numbers of its paper.
PAPER_SETTINGS = SuitedSettings(steps=100, text_scale=7.5, image_scale=1.5, size_px=512)
# The small network is trained at 128 px. Few steps and weak guidance are best after its short training
# (docs/diffusion.md).
PORTRAITS_SETTINGS = SuitedSettings(steps=4, text_scale=1.2, image_scale=1.0, size_px=128)


def usual_model(pipeline: str = INSTRUCT_PIX2PIX) -> str:
    """Return the model of a style that names none.

    This is InstructPix2Pix if its folder is on this machine, because a user who fetched it wants it; otherwise the
    bundled network, which only the pipeline of InstructPix2Pix can load.
    """
    if pipeline != INSTRUCT_PIX2PIX or pipeline_folder(PAPER_MODEL) is not None:
        return PAPER_MODEL
    return PORTRAITS_MODEL


def suited_settings(model: str) -> SuitedSettings:
    """Return the settings that suit a model; those of InstructPix2Pix for a model that is not known here."""
    return PORTRAITS_SETTINGS if Path(model).name == PORTRAITS_MODEL else PAPER_SETTINGS


def missing_model(model: str | None, pipeline: str = INSTRUCT_PIX2PIX) -> str | None:
    """Return why a model, or the usual one for None, is not on this machine and what to do, in one line; or None."""
    name = usual_model(pipeline) if model is None else model
    if pipeline_folder(name) is not None:
        return None
    if name != PORTRAITS_MODEL:
        return folder_remedy(name)
    try:
        assets.require(PORTRAITS_MODEL)
    except UserError as error:
        return str(error) if model else f"{folder_remedy(PAPER_MODEL)}; its small substitute is missing too: {error}"
    return None


def model_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return an editor's settings with the usual model and the values that suit it for those that are left out.

    Args:
        given: the settings ``model``, ``pipeline``, ``steps``, ``text_scale``, ``image_scale`` and ``size_px`` that
            the user gave.
    """
    pipeline = given.get("pipeline", INSTRUCT_PIX2PIX)
    model = given["model"] if "model" in given else usual_model(pipeline)
    return {**dataclasses.asdict(suited_settings(model)), **given, "model": model}
