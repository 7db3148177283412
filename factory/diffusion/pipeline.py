"""The folder of the pipeline: written in half precision, read by diffusers and by a training that goes on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import write_json
from factory.diffusion.editor import Networks
from factory.diffusion.networks import new_scheduler, require_diffusers
from factory.diffusion.tokenizer import require_transformers, save_tokenizer

Pictures = NDArray[np.uint8]


def save_pipeline(folder: Path, vae: Any, networks: Networks) -> None:
    """Write a folder for `StableDiffusionInstructPix2PixPipeline.from_pretrained`: safetensors, float16."""
    pipeline = require_diffusers().StableDiffusionInstructPix2PixPipeline(
        vae=vae, text_encoder=networks.text, tokenizer=networks.tokenizer, unet=networks.unet,
        scheduler=new_scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    halves = {name: {key: value.clone() for key, value in getattr(pipeline, name).state_dict().items()}
              for name in ("vae", "unet", "text_encoder")}  # fmt: skip
    try:
        pipeline.to(dtype=torch.float16)
        pipeline.save_pretrained(folder, safe_serialization=True)
    finally:
        # The caller's networks go on in float32, with the digits that halves lack.
        for name, state in halves.items():
            network = getattr(pipeline, name).float()
            network.load_state_dict(state)
    save_tokenizer(networks.tokenizer, folder / "tokenizer")
    # transformers 5 loads a network in the type that its config names, diffusers in float32: both must be the same.
    config = folder / "text_encoder" / "config.json"
    named = {key: value for key, value in json.loads(config.read_text(encoding="utf-8")).items() if "dtype" not in key}
    write_json(config, named | {"dtype": "float32", "torch_dtype": "float32"})


def load_networks(folder: Path) -> tuple[Any, Networks]:
    """Read the autoencoder and the editor's networks of a folder, in float32.

    Raises:
        UserError: the folder is not a pipeline of diffusers.
    """
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} is not the folder of a pipeline: model_index.json is missing")
    diffusers, transformers = require_diffusers(), require_transformers()
    kinds = {"torch_dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", **kinds)
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **kinds)
    text = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    last = {"memory_format": torch.channels_last}
    return vae.to(**last), Networks(tokenizer, text, unet.to(**last))


def load_pipeline(folder: Path) -> Any:
    """Load the pipeline as a user would, without its progress bar."""
    pipeline = require_diffusers().StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def edited(
    pipeline: Any, picture: Pictures, texts: list[str], steps: int, text_scale: float, image_scale: float, seed: int = 0
) -> Pictures:
    """Edit one picture uint8 ``[S, S, 3]`` by each of the texts, from the same noise: uint8 ``[B, S, S, 3]``."""
    from PIL import Image

    made = []
    for text in texts:
        result = pipeline(
            text, image=Image.fromarray(picture), num_inference_steps=steps, guidance_scale=text_scale,
            image_guidance_scale=image_scale, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        made.append(np.asarray(result.images[0].convert("RGB"), dtype=np.uint8))
    return np.stack(made)
