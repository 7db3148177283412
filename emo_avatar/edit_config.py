"""The configuration of the edit stage: every choice is a named field; profiles and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emo_bench.errors import SettingError, shortened
from emo_bench.methods.settings import LearningRate, LossWeight, MethodSettings, Share, StepCount, resolve

DATASET_UPDATE = "dataset-update"


class EditConfig(MethodSettings):
    """The configuration of an edit (paper 3.3). Defaults are the ``recommended`` preset of the ``cpu`` profile.

    The paper gives no weight, size or number. Equation 3 as printed has no temperature and no normalisation; preset
    ``literal`` follows it, and leaves out what the paper does not have: strokes, the held face and the structure term.
    """

    reference_frame: int | None = Field(
        None, ge=0, le=100_000_000, description="a training frame; drawn by the seed if none"
    )
    clip: str = Field("auto", description="CLIP model: auto, ViT-B-32, ViT-L-14 or a folder")

    # reference and training frames
    supervision: Literal["reference", "dataset-update"] = Field(
        "reference", description="paper: one reference; dataset-update is the ablation Ours + in2n"
    )
    update_every_steps: int = Field(
        10, ge=1, le=1_000_000, description="dataset-update: steps between edited frames; in2n 10"
    )

    hold_face: bool = Field(
        True, description="face and neck of a style transfer keep the frame's features; not in the paper"
    )

    # patch contrast (equation 3)
    patches: int = Field(
        24, ge=2, le=4096, description="patches of a step: one positive each, the others are negatives"
    )
    patch_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.25, 0.4), min_length=1, description="sides of patches over the frame's side"
    )
    patch_pool: int = Field(192, ge=2, le=65_536, description="patches of the reference to draw from")
    on_person_share: float = Field(0.75, ge=0, le=1, description="share of patches that lie on the person")
    temperature: float = Field(0.07, gt=0, le=1e6)
    normalize: bool = True
    uv_limit: float = Field(0.02, gt=0, le=2, description="farthest that a matched spot may lie, in UV")
    patch_weight: LossWeight = Field(0.05, description="L_patch on the reference's frame")
    matched_patch_weight: LossWeight = Field(0.05, description="L_patch on other frames, matched through UV")

    patch_every_steps: int = Field(2, ge=1, le=1_000_000, description="steps from one look at patches to the next")

    # beyond the paper: strokes, and two terms that are off: the reference on other frames
    stroke_weight: LossWeight = Field(10.0, description="L1 of the strokes' own skip connection; 0 leaves it out")
    moved_weight: LossWeight = Field(0.0, description="L1 on other frames to the reference moved through UV")
    stroke_lr: LearningRate = 2e-2
    direction_weight: LossWeight = Field(
        0.0, description="CLIP's embeddings of all frames change as that of the reference did"
    )

    # the other terms
    l1_weight: LossWeight = 10.0
    perceptual_weight: LossWeight = 1.0
    gan_weight: LossWeight = 0.005
    anchor_weight: LossWeight = Field(0.1, description="squared distance to the unedited skips")
    structure_weight: LossWeight = Field(
        12.0, description="facial features stay where the unedited frames have them; 0 is the paper's loss"
    )

    # optimisation
    steps: StepCount = 40
    other_frames: int = Field(1, ge=1, le=1024, description="frames of a step beside the reference's")
    frame_pool: int = Field(32, ge=1, le=100_000, description="frames to draw them from")
    lr: LearningRate = 1e-3
    final_lr_share: Share = 0.05
    discriminator_lr: LearningRate = 1e-4

    @model_validator(mode="after")
    def _enough_patches(self) -> EditConfig:
        if self.patches > self.patch_pool:
            raise ValueError(f"patches={self.patches}: at most patch_pool ({self.patch_pool})")
        return self


_SMOKE: dict[str, Any] = {"steps": 8, "patches": 8, "patch_pool": 32, "frame_pool": 6}
_GPU: dict[str, Any] = {"steps": 160, "patches": 32, "patch_pool": 256, "other_frames": 2, "frame_pool": 64}
_PAPER: dict[str, Any] = {
    "steps": 400,
    "patches": 64,
    "patch_pool": 512,
    "patch_shares": (0.125, 0.25),
    "other_frames": 2,
    "frame_pool": 64,
    "lr": 5e-4,
}
_LITERAL: dict[str, Any] = {
    "temperature": 1.0,
    "normalize": False,
    "patch_every_steps": 1,
    "structure_weight": 0.0,
    "stroke_weight": 0.0,
    "hold_face": False,
}

# Instruct-NeRF2NeRF has a budget of its own: it edits one frame in ten steps. The steps are so many that every frame of
# the pool, which is one more than `frame_pool`, is replaced three times. `paper` has the steps of its release.
_UPDATES: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 42, "update_every_steps": 2},
    "cpu": {"steps": 1000},
    "gpu": {"steps": 2000},
    "paper": {"steps": 15_000},
}

PROFILES: dict[str, dict[str, Any]] = {"smoke": _SMOKE, "cpu": {}, "gpu": _GPU, "paper": _PAPER}
PRESETS: dict[str, dict[str, Any]] = {"recommended": {}, "literal": _LITERAL}


def resolve_edit_config(profile: str, preset: str, settings: Mapping[str, str]) -> EditConfig:
    """Return the configuration of an edit: a preset replaces values of the profile, the user's settings replace both.

    With ``supervision=dataset-update`` the profile has other steps, see ``_UPDATES``.

    Args:
        profile: ``smoke``, ``cpu``, ``gpu`` or ``paper``.
        preset: the preset of the fit, used unless ``settings`` names another one.
        settings: field names and values as text, as given with ``--set edit.key=value``; tuples are written
            ``0.2,0.4``.

    Raises:
        SettingError: an unknown preset or field, or a value that does not fit.
    """
    values = dict(settings)
    preset = values.pop("preset", preset)
    if preset not in PRESETS:
        raise SettingError(f"--set edit.preset={shortened(preset, 40)}: choose one of {', '.join(PRESETS)}")
    updates = _UPDATES[profile] if values.get("supervision") == DATASET_UPDATE else {}
    chosen: dict[str, Any] = {**PROFILES[profile], **updates, **PRESETS[preset]}
    return resolve(EditConfig, chosen, values, name="emo-avatar", prefix="edit.")
