"""The folder of the pipeline: written in half precision, read by diffusers and by a training that goes on from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.methods.diffusion_pipelines import number_places
from factory.diffusion.editor import Networks
from factory.diffusion.networks import new_scheduler, require_diffusers
from factory.diffusion.tokenizer import require_transformers, save_tokenizer

EDITED_AT_ONCE = 8

Pictures = NDArray[np.uint8]


def save_pipeline(folder: Path, vae: Any, networks: Networks) -> None:
    """Write a folder for `StableDiffusionInstructPix2PixPipeline.from_pretrained`: safetensors, float16."""
    halves = [copy.deepcopy(network).cpu().half() for network in (vae, networks.unet, networks.text)]
    pipeline = require_diffusers().StableDiffusionInstructPix2PixPipeline(
        vae=halves[0], text_encoder=halves[2], tokenizer=networks.tokenizer, unet=halves[1],
        scheduler=new_scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    save_tokenizer(networks.tokenizer, folder / "tokenizer")
    # transformers 5 loads a network in the type that its config names, diffusers in float32: both must be the same.
    config = folder / "text_encoder" / "config.json"
    named = {key: value for key, value in json.loads(config.read_text(encoding="utf-8")).items() if "dtype" not in key}
    write_json(config, named | {"dtype": "float32", "torch_dtype": "float32"})
    forget_origin(folder)


def forget_origin(folder: Path) -> None:
    """Remove from configurations the path that a network was loaded from: it says where the training ran."""
    for config in folder.glob("*/config.json"):
        told = json.loads(config.read_text(encoding="utf-8"))
        if told.pop("_name_or_path", None) is not None:
            write_json(config, told)


def load_networks(folder: Path) -> tuple[Any, Networks]:
    """Read the autoencoder and the editor's networks of a folder, in float32.

    Raises:
        UserError: the folder is not a pipeline of diffusers.
    """
    if not (folder / "model_index.json").is_file():
        raise UserError(f"{folder} is not the folder of a pipeline: model_index.json is missing")
    diffusers, transformers = require_diffusers(), require_transformers()
    kinds = {"use_safetensors": True, "local_files_only": True}
    vae = load_vae(folder / "vae")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **kinds)
    text = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True)
    number_places(text)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    last = {"memory_format": torch.channels_last}
    return vae, Networks(tokenizer, text, unet.to(**last))


def load_vae(folder: Path) -> Any:
    """Read an `AutoencoderKL`, in float32."""
    kinds = {"use_safetensors": True, "local_files_only": True}
    vae = require_diffusers().AutoencoderKL.from_pretrained(folder, **kinds)
    return vae.to(memory_format=torch.channels_last).eval()


def load_pipeline(folder: Path) -> Any:
    """Load the pipeline as a user would, without its progress bar."""
    pipeline = require_diffusers().StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    number_places(pipeline.text_encoder)
    return pipeline


def edited(
    pipeline: Any,
    pictures: Pictures,
    texts: Sequence[str],
    steps: int,
    text_scale: float,
    image_scale: float,
    seed: int = 0,
) -> Pictures:
    """Edit pictures uint8 ``[B, S, S, 3]``, each by its text and all from the same noise: uint8 ``[B, S, S, 3]``."""
    from PIL import Image

    made = []
    for first in range(0, len(texts), EDITED_AT_ONCE):
        some = pictures[first : first + EDITED_AT_ONCE]
        result = pipeline(
            list(texts[first : first + EDITED_AT_ONCE]), image=[Image.fromarray(one) for one in some],
            num_inference_steps=steps, guidance_scale=text_scale, image_guidance_scale=image_scale,
            generator=[torch.Generator().manual_seed(seed) for _ in some],
        )  # fmt: skip
        made += [np.asarray(one.convert("RGB"), dtype=np.uint8) for one in result.images]
    return np.stack(made)
