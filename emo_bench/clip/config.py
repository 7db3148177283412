"""``open_clip_config.json`` of a folder: towers of known layers and bounded sizes, without anything from a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emo_bench.errors import UserError
from emo_bench.untrusted.plain_json import read_json
from emo_bench.untrusted.refusal import Unreadable, reading, short, shown
from emo_bench.untrusted.schema import first_problem

# Prefixes and fields for things that open_clip downloads: timm and transformers models, tokenizers, pretrained towers.
HUB_WORDS = ("timm_", "hf_", "hub", "pretrained", "tokenizer_")
LEAST_BYTES_A_NUMBER = 2
MOST_BYTES = 1 << 20

Layers = Annotated[int, Field(ge=1, le=128)]
Width = Annotated[int, Field(ge=1, le=8192)]
Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(gt=0, le=1e3)]], Field(min_length=3, max_length=3)]
Pixels = Annotated[int, Field(ge=1, le=2048)]


class _Known(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Tower(_Known):
    width: Width = 768
    mlp_ratio: float = Field(default=4.0, gt=0, le=16)
    ls_init_value: float | None = Field(default=None, allow_inf_nan=False)
    final_ln_after_pool: bool = False
    pool_type: str = "tok"
    output_tokens: bool = False
    block_type: str | None = None
    qk_norm: bool = False
    scaled_cosine_attn: bool = False
    scale_heads: bool = False
    scale_attn_inner: bool = False
    scale_attn: bool = False
    scale_fc: bool = False
    # Their content would be passed to torch constructors.
    act_kwargs: None = None
    norm_kwargs: None = None

    def layer_numbers(self) -> float:
        """Return a lower bound of a transformer layer's number of weights."""
        return self.width**2 * (4 + 2 * self.mlp_ratio)


class VisionTower(_Tower):
    """A vision transformer, or a ResNet if ``layers`` has four numbers."""

    layers: Layers | Annotated[list[Layers], Field(min_length=4, max_length=4)] = 12
    head_width: Width = 64
    patch_size: Annotated[int, Field(ge=4, le=256)] = 16
    image_size: Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)] = 224
    patch_dropout: float = Field(default=0.0, ge=0, lt=1)
    attentional_pool: bool = False
    attn_pooler_queries: Annotated[int, Field(ge=1, le=4096)] = 256
    attn_pooler_heads: Annotated[int, Field(ge=1, le=256)] = 8
    no_ln_pre: bool = False
    pos_embed_type: str = "learnable"

    def numbers(self) -> float:
        """Return a lower bound of the tower's number of weights."""
        if isinstance(self.layers, int):
            return self.layers * self.layer_numbers()
        return sum(13 * count * (self.width << stage) ** 2 for stage, count in enumerate(self.layers))


class TextTower(_Tower):
    """A text transformer with open_clip's own vocabulary, or with a vocabulary of the same size."""

    width: Width = 512
    layers: Layers = 12
    heads: Annotated[int, Field(ge=1, le=256)] = 8
    context_length: Annotated[int, Field(ge=1, le=1024)] = 77
    vocab_size: Annotated[int, Field(ge=1, le=1_000_000)] = 49408
    embed_cls: bool = False
    pad_id: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    eos_id: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    no_causal_mask: bool = False
    pool_type: str = "argmax"
    proj_bias: bool = False
    proj_type: str = "linear"

    def numbers(self) -> float:
        """Return a lower bound of the tower's number of weights."""
        return self.layers * self.layer_numbers() + self.vocab_size * self.width


class ModelConfig(_Known):
    """The section ``model_cfg``."""

    embed_dim: Width
    vision_cfg: VisionTower
    text_cfg: TextTower
    quick_gelu: bool = False
    custom_text: bool = False
    init_logit_scale: float = Field(default=2.66, allow_inf_nan=False)
    init_logit_bias: float | None = Field(default=None, allow_inf_nan=False)
    output_dict: bool = False
    nonscalar_logit_scale: bool = False


class Preprocessing(BaseModel):
    """The section ``preprocess_cfg``; only mean and deviation are used, frames are resized to the tower's square."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    mean: Channels | None = None
    std: Deviations | None = None


class ClipConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    model_cfg: ModelConfig
    preprocess_cfg: Preprocessing = Preprocessing()


def check_clip_config(path: Path, weights: Path) -> None:
    """Check a config before any network is built from it.

    Raises:
        UserError: it is damaged, names something on a hub or an unknown layer, or describes a network with more weights
            than its weights file contains.
    """
    with reading(path, "config of open_clip"):
        content = read_json(path, MOST_BYTES)
        _refuse_hubs(content)
        try:
            config = ClipConfig.model_validate(content).model_cfg
        except ValidationError as error:
            raise Unreadable(f"it is not an open_clip config: {first_problem(error)}") from error
    numbers = config.vision_cfg.numbers() + config.text_cfg.numbers()
    if numbers * LEAST_BYTES_A_NUMBER > weights.stat().st_size:
        raise UserError(
            f"{weights} does not fit the CLIP model {weights.parent.name}: its config describes at least"
            f" {numbers / 1e6:.1f} million weights, more than the file holds"
        )


def _refuse_hubs(content: Any) -> None:
    waiting: list[Any] = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            for key, value in part.items():
                if any(word in key.lower() for word in HUB_WORDS):
                    raise Unreadable(f"{short(key, 40)} {shown(value)} lives on a hub, not here")
