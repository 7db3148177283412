"""Warm-up by recipes on discs whose place and colour are known: it paints what it is told, and z draws such discs."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from emo_avatar.stylegan2 import Generator
from emo_bench.errors import UserError
from emo_bench.perceptual import missing_assets
from factory.prior.adversarial import AdversarialConfig
from factory.prior.bank import open_bank
from factory.prior.recipes import (
    BACKEND,
    FACE_WEIGHT,
    RecipeEncoder,
    absolute_error,
    complete,
    cool,
    finish,
    finishing_steps,
    paint,
    recipe_optimizer,
    teach_mapping,
)
from factory.prior.record import Pace
from factory.prior.state import PretrainConfig, PretrainState
from factory.prior.train import main, train
from factory.prior.warmup import blank_rgb

needs_features = pytest.mark.skipif(bool(missing_assets(BACKEND)), reason=f"{BACKEND} is not on this machine")
COUNT, SIZE = 96, 32
CONFIG = PretrainConfig(
    resolution=SIZE, z_dim=8, w_dim=16, mapping_layers=3, channel_base=1024, channel_max=64, critic_share=1.0, batch=8,
    warmup_images=1600, recipe_dim=4, adversarial=AdversarialConfig(autocast=False, feature_weight=0.0),
)  # fmt: skip


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    """Discs by height of their centre and by colour; the last eight are held out."""
    rng = np.random.default_rng(0)
    uniform = rng.uniform(0.02, 0.98, (COUNT, 4))
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    images = np.full((COUNT, SIZE, SIZE, 3), 30, np.uint8)
    for image, (height, *colour) in zip(images, uniform, strict=True):
        inside = (x - SIZE / 2) ** 2 + (y - SIZE * (0.3 + 0.4 * height)) ** 2 < (SIZE / 4) ** 2
        image[inside] = np.round(60 + 190 * np.array(colour))
    path = tmp_path / "discs.npy"
    np.save(path, images)
    recipe = (uniform - 0.5) * np.sqrt(12)
    np.savez(tmp_path / "discs.recipe.npz", recipe=recipe.astype("f4"), code=norm.ppf(uniform).astype("f4"))
    pd.DataFrame({"held_out": np.arange(COUNT) >= COUNT - 8}).to_parquet(tmp_path / "discs.parquet")
    return path


def run_to(out: Path, bank: Path, images: int, config: PretrainConfig = CONFIG) -> PretrainState:
    return train(open_bank(bank, SIZE), out, config, Pace(minutes=60, max_images=images))


def test_the_face_counts_more_than_what_is_round_it() -> None:
    wanted, images = torch.zeros(2, 3, 100, 100), torch.zeros(2, 3, 100, 100)
    assert float(absolute_error(images + 0.5, wanted)) == pytest.approx(0.5)
    images[:, :, 40:50, 40:50] = 1.0
    at_an_eye = float(absolute_error(images, wanted))
    images = images.roll((-35, -35), (2, 3))
    assert at_an_eye == pytest.approx(FACE_WEIGHT * float(absolute_error(images, wanted)))
    weighed = 10000 + (FACE_WEIGHT - 1.0) * 47 * 44
    assert at_an_eye == pytest.approx(FACE_WEIGHT * 100 / weighed, rel=1e-5)


def error(images: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((images - wanted).square().mean())


@needs_features
def test_it_paints_held_out_recipes_and_z_draws_such_discs(bank_path: Path, tmp_path: Path) -> None:
    bank = open_bank(bank_path, SIZE)
    assert bank.recipes is not None and bank.codes is not None
    halfway = run_to(tmp_path / "out", bank_path, CONFIG.warmup_images - 8)
    assert isinstance(halfway.encoder, RecipeEncoder) and not halfway.draws()
    assert not list((tmp_path / "out").glob("*.safetensors")), "a generator whose mapping knows nothing"
    held_out = bank.images(bank.held_out, "cpu")
    with torch.no_grad():
        found = paint(halfway.generator, halfway.encoder, torch.from_numpy(bank.recipes[bank.held_out]))
    assert error(found, held_out) < 0.75 * error(found.roll(1, 0), held_out)

    state = run_to(tmp_path / "out", bank_path, CONFIG.warmup_images)
    assert state.draws() and (tmp_path / "out" / "portraits-32.safetensors").exists()
    card = (tmp_path / "out" / "portraits-32.md").read_text()
    assert "| training | 1,600 images by regression from recipes, then 224 from their codes; " in card
    codes = torch.from_numpy(bank.codes[bank.held_out])
    with torch.no_grad():
        drawn = state.shown()(complete(codes, CONFIG.z_dim, torch.Generator().manual_seed(3)))
    assert error(drawn, held_out) < 0.9 * error(drawn.roll(1, 0), held_out)


@needs_features
def test_resumed_warmup_ends_with_the_same_bits(bank_path: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, warmup_images=64)
    whole = run_to(tmp_path / "whole", bank_path, 48, config)
    run_to(tmp_path / "parts", bank_path, 24, config)
    parts = run_to(tmp_path / "parts", bank_path, 48, config)
    for name in ("generator", "encoder"):
        a, b = getattr(whole, name).state_dict(), getattr(parts, name).state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_mapping_learns_the_encoders_w(bank_path: Path) -> None:
    torch.manual_seed(0)
    bank = open_bank(bank_path, SIZE)
    mapping, encoder = Generator(CONFIG.generator()).mapping, RecipeEncoder(4, CONFIG.w_dim)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    short = teach_mapping(mapping, encoder, bank, 0, "cpu", steps=1)
    assert teach_mapping(mapping, encoder, bank, 0, "cpu", steps=600) > max(0.6, short)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_finish_comes_nearer_to_held_out_pictures_and_sets_the_average_w(bank_path: Path) -> None:
    torch.manual_seed(0)
    bank = open_bank(bank_path, SIZE)
    assert bank.codes is not None
    generator = Generator(CONFIG.generator())
    blank_rgb(generator)
    held_out, codes = bank.images(bank.held_out, "cpu"), torch.from_numpy(bank.codes[bank.held_out])
    z = complete(codes, CONFIG.z_dim, torch.Generator().manual_seed(3))
    with torch.no_grad():
        before = generator(z)
    finish(generator, bank, 0, "cpu", autocast=False, batch=8, steps=100)
    with torch.no_grad():
        drawn = generator(z)
        training = torch.from_numpy(bank.codes[bank.training])
        rng = torch.Generator().manual_seed(4)
        w = torch.cat([generator.mapping.to_w(complete(training, CONFIG.z_dim, rng)) for _ in range(20)])
    assert error(drawn, held_out) < 0.5 * error(before, held_out)
    assert torch.allclose(generator.mapping.w_avg, w.mean(dim=0), atol=0.5)


def test_the_shipped_finish_is_24000_images() -> None:
    assert finishing_steps(170_000, 8) * 8 == 24_000


def test_rates_stay_then_fall(bank_path: Path) -> None:
    optimizer = recipe_optimizer(Generator(CONFIG.generator()), RecipeEncoder(4, CONFIG.w_dim))
    rates = []
    for progress in (0.0, 0.5, 0.8, 1.0):
        cool(optimizer, progress)
        rates.append([group["lr"] / group["peak"] for group in optimizer.param_groups])
    assert rates[0] == rates[1] == [1.0, 1.0]
    assert 0.01 < rates[2][0] < 1.0 and rates[3][0] == pytest.approx(0.01)


def test_mistakes_get_one_line(bank_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = dict(np.load(tmp_path / "discs.recipe.npz"))
    np.savez(tmp_path / "discs.recipe.npz", recipe=content["recipe"], code=np.zeros((COUNT, 300), "f4"))
    flags = ["--images", str(bank_path), "--out", str(tmp_path / "out"), "--resolution", "32"]
    assert main([*flags, "--minutes", "0"]) == 2
    assert "300 numbers: more than z_dim=256" in capsys.readouterr().err
    np.savez(tmp_path / "discs.recipe.npz", recipe=content["recipe"][:5], code=content["code"][:5])
    with pytest.raises(UserError, match="describes 5 images, but the bank has 96"):
        open_bank(bank_path, SIZE)
