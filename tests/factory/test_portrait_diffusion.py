"""The diffusion networks: tokenizer, autoencoder, editor, and the folder that diffusers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.errors import UserError
from factory.diffusion.bank import Bank, EditPlan, make_bank, open_bank
from tests.factory.drawn_edits import drawn

diffusers = pytest.importorskip("diffusers", reason="the networks are those of diffusers")
transformers = pytest.importorskip("transformers", reason="the text encoder is one of transformers")

from factory.diffusion import autoencoder, editor, networks  # noqa: E402
from factory.diffusion.linear_start import start_linear  # noqa: E402
from factory.diffusion.pipeline import load_networks, save_pipeline  # noqa: E402
from factory.diffusion.tokenizer import CONTEXT, encode, known_words, make_tokenizer, save_tokenizer  # noqa: E402
from factory.diffusion.wordings import training_texts  # noqa: E402

SMALL_VAE: dict[str, Any] = {"block_out_channels": (8, 8, 16), "norm_num_groups": 1, "sample_size": 32}
SMALL_UNET: dict[str, Any] = {
    "block_out_channels": (16, 16, 32, 32), "attention_head_dim": (1, 1, 1, 1), "sample_size": 8, "norm_num_groups": 1,
}  # fmt: skip
MOST_BYTES = 45_000_000


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    def coloured(seed: int, size_px: int, turn: int) -> tuple[np.ndarray, list[Any]]:
        rows = drawn(seed, size_px, turn)[1]
        rng = np.random.default_rng(seed)
        smooth = rng.uniform(0, 255, (len(rows), 4, 4, 3)).repeat(size_px // 4, axis=1).repeat(size_px // 4, axis=2)
        return smooth.astype(np.uint8), rows

    folder = tmp_path_factory.mktemp("diffusion") / "bank"
    make_bank(folder, EditPlan(people=8, size_px=32), render=coloured)
    return open_bank(folder)


@pytest.fixture(scope="module")
def trained_vae(bank: Bank) -> tuple[autoencoder.AutoencoderTraining, list[float]]:
    config = autoencoder.AutoencoderConfig(steps=40, crop_px=16, perceptual_weight=0.0, learning_rate=1e-3)
    torch.manual_seed(0)
    training = autoencoder.AutoencoderTraining(bank, config, vae=networks.new_vae(**SMALL_VAE))
    return training, [training.run_step()["l1"] for _ in range(40)]


@pytest.fixture(scope="module")
def trained(bank: Bank) -> tuple[editor.EditorTraining, list[dict[str, float]], tuple[float, float]]:
    training = new_training(bank)
    before = loss_from_noise(training)
    losses = [training.run_step() for _ in range(30)]
    return training, losses, (before, loss_from_noise(training))


@torch.no_grad()
def loss_from_noise(training: editor.EditorTraining) -> float:
    """The loss of painting each person of the bank, from pure noise."""
    sources = np.arange(0, 32, 4)
    gathered = (training._gathered(sources), training._gathered(sources + 3), torch.full((8,), editor.LAST))
    noise = torch.randn((8, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    return float(training._losses(*gathered, ["as an oil painting"] * 8, noise).mean())


def new_training(bank: Bank) -> editor.EditorTraining:
    rng = np.random.default_rng(1)
    # Every kind of picture has a colour of its own, so that source and words tell the result's.
    colours = rng.normal(size=(4, 4))[np.arange(len(bank)) % 4]
    latents = (colours[:, :, None, None] + 0.1 * rng.normal(size=(len(bank), 4, 8, 8))).astype(np.float16)
    config = editor.EditorConfig(steps=30, batch=8, regression_steps=30, learning_rate=1e-3)
    return editor.EditorTraining(bank, latents, config, start=editor.new_networks(**SMALL_UNET))


def test_known_words_are_one_token_and_the_folder_gives_the_same_numbers(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    for word in known_words(training_texts()):
        assert len(tokenizer(word).input_ids) == 3, word
    assert tokenizer.get_vocab() == make_tokenizer().get_vocab(), "sets and hashes have no say in it"
    save_tokenizer(tokenizer, tmp_path)
    loaded = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["turn the man into a marble statue", "make her hair rouge-noir", ""]
    assert torch.equal(encode(loaded, texts), encode(tokenizer, texts))
    assert loaded.model_max_length == CONTEXT


@given(text=st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_text_is_refused(text: str) -> None:
    tokenizer = KNOWN
    numbers = encode(tokenizer, [text])
    assert numbers.shape == (1, CONTEXT) and int(numbers.min()) >= 0 and int(numbers.max()) < len(tokenizer)
    assert numbers[0, 0] == tokenizer.bos_token_id


KNOWN = make_tokenizer(["make the hair red", "an oil painting"])


def test_the_autoencoder_learns_and_normalising_changes_no_picture(
    bank: Bank, trained_vae: tuple[autoencoder.AutoencoderTraining, list[float]]
) -> None:
    training, losses = trained_vae
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    pictures = bank.pictures(np.arange(24))
    vae = training.vae
    before = vae.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    plain = autoencoder.reconstructed(vae, pictures)
    autoencoder.normalise(vae, autoencoder.encoded(vae, pictures))
    after = autoencoder.reconstructed(vae, pictures)
    latents = autoencoder.encoded(vae, pictures).astype(np.float64)
    # bfloat16 in `encoded`, where the processor has it.
    assert np.abs(latents.mean(axis=(0, 2, 3))).max() < 0.05 and np.abs(latents.std(axis=(0, 2, 3)) - 1.0).max() < 0.05
    assert np.abs(plain.astype(int) - after).max() <= 1
    vae.load_state_dict(before)
    vae.train()


def test_a_new_autoencoder_keeps_the_colours_of_blocks() -> None:
    torch.manual_seed(0)
    vae = networks.new_vae()
    start_linear(vae)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    pictures[1] //= 8
    noisy = np.clip(pictures + np.tile([[20, -20], [-20, 20]], (16, 16))[None, :, :, None], 0, 255)
    made = autoencoder.reconstructed(vae, noisy.astype(np.uint8)).astype(int)
    means = noisy.reshape(2, 8, 4, 8, 4, 3).mean(axis=(2, 4)).repeat(4, axis=1).repeat(4, axis=2)
    assert np.abs(made - means).mean() < 3.0, "a dark picture stays dark"


@torch.no_grad()
def test_a_new_editor_leaves_the_source_as_it_is() -> None:
    made = editor.new_networks()
    rng = torch.Generator().manual_seed(0)
    noise, source = (torch.randn(2, 4, 16, 16, generator=rng) for _ in range(2))
    source = source + torch.tensor([1.0, -1.0])[:, None, None, None]
    words = made.text(encode(made.tokenizer, ["as an oil painting", ""])).last_hidden_state
    levels = torch.tensor([999, 200])
    velocity = made.unet(torch.cat((noise, source), dim=1), levels, words).sample
    assert float((velocity + source).abs().mean()) < 0.15 * float(source.abs().mean())
    scheduler = networks.new_scheduler()
    scheduler.set_timesteps(1)
    last = scheduler.step(velocity[:1], 999, noise[:1]).pred_original_sample
    assert float((last - source[:1]).abs().mean()) < 0.15 * float(source[:1].abs().mean())


def test_a_banks_latents_are_those_of_its_pictures_and_are_made_again_for_other_weights(
    bank: Bank, trained_vae: tuple[autoencoder.AutoencoderTraining, list[float]]
) -> None:
    vae = trained_vae[0].averaged()
    latents = autoencoder.encode_bank(vae, bank)
    assert latents.shape == (len(bank), 4, 8, 8)
    alone = autoencoder.encoded(vae, bank.pictures(np.array([5])))
    assert np.abs(latents[5].astype(float) - alone[0]).max() < 0.05
    with torch.no_grad():
        vae.quant_conv.bias[:4] += 3.0
    moved = autoencoder.encode_bank(vae, bank)
    assert np.abs(moved.astype(float) - latents - 3.0).max() < 0.1


def test_the_editor_learns_and_continues_with_the_same_bits(
    bank: Bank, trained: tuple[editor.EditorTraining, list[dict[str, float]], tuple[float, float]], tmp_path: Path
) -> None:
    _, losses, (before, after) = trained
    values = [one["loss"] for one in losses]
    assert after < 0.5 * before, "regression: the result is predicted from source and words"
    assert all(np.isfinite(one["at_pure_noise"]) for one in losses[:20])
    first = new_training(bank)
    for _ in range(12):
        first.run_step()
    torch.save(first.state(), tmp_path / "state.pt")
    second = new_training(bank)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [second.run_step()["loss"] for _ in range(3)] == values[12:15]


def test_the_loss_is_that_of_the_schedulers_velocity(bank: Bank) -> None:
    training = new_training(bank)
    scheduler = networks.new_scheduler()
    assert float(scheduler.alphas_cumprod[-1]) == 0.0, "zero terminal signal"
    rng = torch.Generator().manual_seed(0)
    results, noise = (torch.randn(4, 4, 8, 8, generator=rng) for _ in range(2))
    levels = torch.tensor([0, 300, 700, 999])
    # A UNet that predicts zero: its error is the velocity itself, and all weigh the same where source and result do.
    torch.nn.init.zeros_(training.networks.unet.conv_out.weight)
    found = training._losses(results, results, levels, ["", "", "", ""], noise)
    velocity = scheduler.get_velocity(results, noise, levels).square().mean(dim=(1, 2, 3))
    weight = torch.clamp(5.0 * (1.0 - scheduler.alphas_cumprod[levels]), max=1.0)
    assert torch.allclose(found, velocity * weight, rtol=1e-4)


def test_diffusers_loads_the_folder_and_computes_what_was_trained(
    bank: Bank,
    trained: tuple[editor.EditorTraining, list[dict[str, float]], tuple[float, float]],
    trained_vae: tuple[autoencoder.AutoencoderTraining, list[float]],
    tmp_path: Path,
) -> None:
    from PIL import Image

    vae, made = trained_vae[0].averaged(), trained[0].averaged()
    before = {name: value.clone() for name, value in made.unet.state_dict().items()}
    save_pipeline(tmp_path, vae, made)
    assert all(torch.equal(value, before[name]) for name, value in made.unet.state_dict().items())
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    picture = bank.pictures(np.array([3]))[0]
    rng = torch.Generator().manual_seed(0)
    inputs, levels = torch.randn(2, 8, 8, 8, generator=rng), torch.tensor([999, 10])
    texts = ["make the hair red", ""]
    with torch.no_grad():
        ours = made.unet(inputs, levels, made.text(encode(made.tokenizer, texts)).last_hidden_state).sample
        words = pipeline.text_encoder(encode(pipeline.tokenizer, texts)).last_hidden_state
        theirs = pipeline.unet(inputs, levels, words).sample
        image = pipeline.image_processor.preprocess(Image.fromarray(picture))
        source = pipeline.vae.encode(image).latent_dist.mode().numpy()
    scale = float(ours.abs().mean())
    assert scale > 0 and float((ours - theirs).abs().max()) < 0.02 * max(scale, 1.0), "only float16 is between them"
    assert np.abs(source - autoencoder.encoded(vae, picture[None]).astype(float)).max() < 0.1
    edited = pipeline(
        "make the hair red", image=Image.fromarray(picture), num_inference_steps=2, generator=torch.manual_seed(0)
    )
    assert edited.images[0].size == (32, 32)
    _, again = load_networks(tmp_path)
    with pytest.raises(UserError, match="not the folder of a pipeline"):
        load_networks(tmp_path / "unet")
    assert {one.dtype for network in (again.unet, again.text) for one in network.parameters()} == {torch.float32}
    for name, value in again.unet.state_dict().items():
        assert torch.equal(value, before[name].half().float()), name
    save_pipeline(tmp_path / "again", vae, again)
    told = [config.read_text(encoding="utf-8") for config in (tmp_path / "again").rglob("*.json")]
    assert len(told) > 5 and not any(str(tmp_path) in text for text in told), "no path of the training's machine"


def test_the_family_is_small_enough_to_ship() -> None:
    text = networks.new_text_encoder(make_tokenizer())
    numbers = sum(p.numel() for one in (networks.new_vae(), networks.new_unet(), text) for p in one.parameters())
    assert 2 * numbers < MOST_BYTES
