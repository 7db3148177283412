"""The networks of the family, as diffusers and transformers define them, with their sizes."""

from __future__ import annotations

from typing import Any

import torch

from emo_bench.errors import UserError
from factory.diffusion.tokenizer import CONTEXT, require_transformers

SIZE_PX, FACTOR, LATENTS = 128, 4, 4
SIDE = SIZE_PX // FACTOR
TEXT_WIDTH = 128
TRAIN_TIMESTEPS = 1000

VAE: dict[str, Any] = {
    "block_out_channels": (32, 64, 96),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": LATENTS,
    # Eight channels in the smallest group: see `linear_start`.
    "norm_num_groups": 4,
    "sample_size": SIZE_PX,
    "mid_block_add_attention": False,
    # Latents are normalised by `autoencoder.normalised`, since the pipeline does not scale those of the source.
    "scaling_factor": 1.0,
}
UNET: dict[str, Any] = {
    "sample_size": SIDE,
    "in_channels": 2 * LATENTS,
    "out_channels": LATENTS,
    # Few channels at 32x32, where most of the time would be spent.
    "block_out_channels": (32, 96, 160, 160),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
    "cross_attention_dim": TEXT_WIDTH,
    # The text as a whole shifts every block as the noise level does, besides attention to its words.
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    # diffusers takes this for the number of heads.
    "attention_head_dim": (1, 2, 2, 2),
    # Sixteen channels in the smallest group: see `linear_start`.
    "norm_num_groups": 2,
}
TEXT: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "projection_dim": TEXT_WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "hidden_act": "gelu",
}
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": TRAIN_TIMESTEPS,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    # The last step is pure noise (Lin et al. 2024): there the network predicts the result from the source alone.
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}


def require_diffusers() -> Any:
    """Import diffusers; raise a UserError with the remedy if it is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise UserError("this needs diffusers; run: pip install 'emo-bench[diffusion]'") from error
    return diffusers


def new_vae(**sizes: Any) -> Any:
    """Return an untrained `AutoencoderKL` with the sizes of `VAE`, or others."""
    return require_diffusers().AutoencoderKL(**{**VAE, **sizes}).to(memory_format=torch.channels_last)


def new_unet(**sizes: Any) -> Any:
    """Return an untrained `UNet2DConditionModel` with the sizes of `UNET`, or others."""
    unet = require_diffusers().UNet2DConditionModel(**{**UNET, **sizes})
    return unet.to(memory_format=torch.channels_last)


def attend_for_training(network: Any, device: str) -> None:
    """Let a UNet or ControlNet attend by matrix products on a CPU, where fused attention has a slow backward pass."""
    if device == "cpu":
        from diffusers.models.attention_processor import AttnProcessor

        network.set_attn_processor(AttnProcessor())


def new_text_encoder(tokenizer: Any, **sizes: Any) -> Any:
    """Return an untrained `CLIPTextModel` for a tokenizer, with the sizes of `TEXT`, or others."""
    transformers = require_transformers()
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = transformers.CLIPTextConfig(**{**TEXT, **sizes}, vocab_size=len(tokenizer), **tokens)
    return transformers.CLIPTextModel(config)


def new_scheduler() -> Any:
    """Return the `DDIMScheduler` of training and sampling."""
    return require_diffusers().DDIMScheduler(**SCHEDULE)
