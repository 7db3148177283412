"""The diffusion networks that come with the toolkit: whole, small, loaded by diffusers alone, and they edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emo_bench import actors
from emo_bench.clip.model import PORTRAITS, ClipModel, find_clip
from emo_bench.methods.diffusion_pipelines import controlnet_folder, pipeline_folder
from emo_bench.methods.pix2pix_models import PORTRAITS_SETTINGS

diffusers = pytest.importorskip("diffusers", reason="the networks are those of diffusers")
pytest.importorskip("transformers", reason="the text encoder is one of transformers")

CONTROLNET = "portraits-controlnet-canny"


@pytest.fixture(scope="module")
def folder() -> Path:
    found = pipeline_folder("portraits-diffusion")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    loaded = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """One frame of two bundled actors, uint8 ``[2, 128, 128, 3]``."""
    pictures = [Image.fromarray(next(iter(actors.load(name).frames([100])))) for name in ("1", "2")]
    return np.stack([np.asarray(one.resize((128, 128), Image.Resampling.BOX)) for one in pictures])


def edited(pipeline: Any, frames: np.ndarray, text: str) -> np.ndarray:
    usual = PORTRAITS_SETTINGS
    made = pipeline(
        [text] * len(frames), image=[Image.fromarray(one) for one in frames], num_inference_steps=usual.steps,
        guidance_scale=usual.text_scale, image_guidance_scale=usual.image_scale,
        generator=[torch.Generator().manual_seed(0) for _ in frames],
    )  # fmt: skip
    return np.stack([np.asarray(one) for one in made.images])


def psnr_db(frames: np.ndarray, others: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((frames.astype(float) - others) ** 2).mean()))


def test_the_weights_are_small_and_in_half_precision(folder: Path) -> None:
    from safetensors import safe_open

    files = sorted(folder.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 45e6
    for file in files:
        with safe_open(str(file), framework="np") as opened:
            assert {opened.get_tensor(name).dtype for name in opened.keys()} == {np.dtype(np.float16)}  # noqa: SIM118


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("make the hair red", "a photo of a person with brown hair", "a photo of a person with red hair"),
        ("turn the person into a bronze statue", "a photo of a person", "a bronze statue of a person"),
        ("as an etching", "a photo of a person", "an etching of a person"),
    ],
)
def test_an_edit_is_what_the_instruction_says(
    pipeline: Any, frames: np.ndarray, text: str, before: str, after: str
) -> None:
    clip = ClipModel(find_clip(PORTRAITS))
    told = clip.of_caption(after) - clip.of_caption(before)
    sources, made = clip.of_frames(frames), clip.of_frames(edited(pipeline, frames, text))
    assert ((made - sources) @ told / np.linalg.norm(made - sources, axis=1) / np.linalg.norm(told) > 0.2).all()


def test_nothing_changes_if_nothing_is_asked_for(pipeline: Any, frames: np.ndarray) -> None:
    kept = psnr_db(edited(pipeline, frames, "leave it as it is"), frames)
    assert kept > 28 > psnr_db(edited(pipeline, frames, "as an etching"), frames)


def test_edges_help_to_paint_a_frame_from_its_caption_alone(folder: Path, pipeline: Any, frames: np.ndarray) -> None:
    from baselines.diffusion.controlnet import edges_of

    found = controlnet_folder(CONTROLNET, folder)
    assert found is not None and sum(file.stat().st_size for file in found.iterdir()) < 10e6
    control = diffusers.ControlNetModel.from_pretrained(found, local_files_only=True)
    scheduler, vae = pipeline.scheduler, pipeline.vae
    with torch.no_grad():
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = vae.encode(pictures).latent_dist.mode()
        level = torch.full((len(frames),), 700)
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(latents.shape, generator=rng)
        noisy = torch.cat((scheduler.add_noise(latents, noise, level), torch.zeros_like(latents)), dim=1)
        tokens = pipeline.tokenizer(
            ["a photo of a person"] * len(frames), padding="max_length", return_tensors="pt",
            max_length=pipeline.tokenizer.model_max_length,
        )  # fmt: skip
        words = pipeline.text_encoder(tokens.input_ids).last_hidden_state
        wanted = scheduler.get_velocity(latents, noise, level)
        errors = []
        for hints in (frames, frames[::-1], np.zeros_like(frames)):
            edges = np.stack([edges_of(np.ascontiguousarray(one), (50, 100)) for one in hints])
            told = torch.from_numpy(edges).permute(0, 3, 1, 2).float() / 255
            down, middle = control(noisy, level, words, told, return_dict=False)
            made = pipeline.unet(
                noisy, level, words, down_block_additional_residuals=down, mid_block_additional_residual=middle
            ).sample
            errors.append(float((made - wanted).square().mean()))
    own, other, none = errors
    assert own < none and own < other
