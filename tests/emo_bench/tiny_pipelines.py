"""Random pipelines of some thousand parameters, in the folder format of diffusers: InstructPix2Pix, text to image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def save_tiny_pipeline(folder: Path, seed: int = 0) -> Path:
    """Make an InstructPix2Pix as diffusers saves it, and return its folder; the test is skipped without diffusers."""
    return _save("StableDiffusionInstructPix2PixPipeline", 8, folder, seed)


def save_tiny_text_to_image(folder: Path, seed: int = 0) -> Path:
    """Make a Stable Diffusion in the same way."""
    return _save("StableDiffusionPipeline", 4, folder, seed, steps_offset=1, clip_sample=False, set_alpha_to_one=False)


def _save(kind: str, in_channels: int, folder: Path, seed: int, **schedule: Any) -> Path:
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    import torch

    folder = folder.resolve()
    (folder / "tokenizer").mkdir(parents=True)
    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=in_channels, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16, norm_num_groups=4,
        attention_head_dim=4,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    words = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghijklm")]
    vocabulary, merges = folder / "tokenizer" / "vocab.json", folder / "tokenizer" / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(vocabulary), str(merges), model_max_length=16)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            hidden_size=16, intermediate_size=16, num_attention_heads=2, num_hidden_layers=1, vocab_size=len(words),
            max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip
    pipeline = getattr(diffusers, kind)(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=diffusers.DDIMScheduler(**schedule),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder
