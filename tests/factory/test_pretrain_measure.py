"""The measuring command: what it writes follows from the networks, and its card holds the numbers of its JSON."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from emo_avatar.checkpoints import load_stylegan2
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench.perceptual import missing_assets
from factory.prior import measure as pretrain_measure
from factory.prior.adversarial import AdversarialConfig
from factory.prior.bank import open_bank
from factory.prior.measure import cpu_inversion, extreme_crops, interpolated, main, run_pti, save_picture
from factory.prior.record import Pace
from factory.prior.state import PretrainConfig
from factory.prior.train import train

CONFIG = PretrainConfig(
    resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, batch=4, warmup_images=0,
    adversarial=AdversarialConfig(autocast=False),
)  # fmt: skip


@pytest.mark.skipif(bool(missing_assets("stlpips-alex")), reason="the weights of stlpips-alex are not here")
def test_card_shows_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    bank = tmp_path / "bank.npy"
    np.save(bank, rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8))
    pd.DataFrame({"held_out": np.arange(40) % 4 == 0}).to_parquet(bank.with_suffix(".parquet"))
    train(open_bank(bank, 32), tmp_path / "run", CONFIG, Pace(5, max_images=4))
    few = dataclasses.replace(cpu_inversion(), w_steps=3, tune_steps=4, autocast=False)
    monkeypatch.setattr(pretrain_measure, "cpu_inversion", lambda: few)
    out, prior = tmp_path / "out", tmp_path / "run" / "portraits-32.safetensors"
    flags = ["--prior", str(prior), "--images", str(bank), "--out", str(out), "--actors", "4"]
    assert main([*flags, "--pictures", str(tmp_path / "pictures")]) == 0
    figures = json.loads((out / "portraits-32.json").read_text())
    card = (out / "portraits-32.md").read_text()
    (row,) = figures["pti"]
    assert row["actor"] == "4"
    assert row["reduction"] == pytest.approx(1 - row["prior_tuned"] / row["untrained_tuned"])
    for value in (row["prior_tuned"], row["untrained_tuned"], figures["frechet"]["prior"]):
        assert f"{value:.4f}" in card
    assert figures["frechet"]["untrained"] > figures["frechet"]["training_images"]
    for kind, relative in figures["pictures"].items():
        picture = out / relative
        assert f"]({relative})" in card, kind
        assert picture.stat().st_size <= 400_000
    shipped = load_stylegan2(out / "portraits-32.safetensors")
    assert shipped.discriminator is None
    z = torch.randn(2, 8)
    torch.testing.assert_close(shipped.generator(z), load_stylegan2(prior).generator(z))


def test_crops_are_ordered_by_yaw_and_inversion_gets_nearer() -> None:
    crops = extreme_crops("1", 32)
    assert crops.shape == (4, 32, 32, 3) and crops.std() > 20
    torch.manual_seed(0)
    generator = Generator(
        GeneratorConfig(32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=512, channel_max=16, use_noise=False)
    )
    settings = dataclasses.replace(cpu_inversion(), w_steps=5, tune_steps=30, autocast=False)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))

    result, projected, tuned = run_pti(generator, crops, settings, distance)
    assert tuned < projected
    between = interpolated(result)
    with torch.no_grad():
        torch.testing.assert_close(between[[0, -1]], result.reconstructions[[0, -1]], atol=1e-4, rtol=1e-3)


def test_pictures_stay_small(tmp_path: Path) -> None:
    noise = torch.rand(12, 3, 128, 128) * 2 - 1
    path = tmp_path / "sheet.png"
    save_picture([noise] * 12, path)
    assert path.stat().st_size <= 400_000
    assert Image.open(path).size == (768, 768)
