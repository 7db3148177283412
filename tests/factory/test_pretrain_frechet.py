"""The Frechet distance against its analytic value and scipy, and held-out rows that training never sees."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import sqrtm

from emo_bench.errors import UserError
from emo_bench.perceptual import missing_assets
from factory.prior.adversarial import AdversarialConfig
from factory.prior.bank import open_bank
from factory.prior.frechet import FrechetJudge, Moments, frechet_distance, moments
from factory.prior.record import Pace
from factory.prior.state import PretrainConfig
from factory.prior.train import train

TINY = PretrainConfig(
    resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, batch=4, warmup_images=0,
    adversarial=AdversarialConfig(r1_interval=3, autocast=False),
)  # fmt: skip
needs_weights = pytest.mark.skipif(
    bool(missing_assets("stlpips-alex")), reason="the weights of stlpips-alex are not here"
)


def bank_with_held_out(folder: Path) -> Path:
    """Dark training rows and bright held-out rows."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (48, 32, 32, 3), dtype=np.uint8)
    held_out = np.arange(48) % 4 == 3
    images[held_out] += 200
    path = folder / "bank.npy"
    np.save(path, images)
    pd.DataFrame({"held_out": held_out}).to_parquet(path.with_suffix(".parquet"))
    return path


def test_distance_of_diagonal_gaussians_is_the_analytic_one() -> None:
    a = Moments(np.array([0.0, 1.0, 2.0]), np.diag([1.0, 4.0, 9.0]))
    b = Moments(np.array([1.0, 1.0, 0.0]), np.diag([4.0, 4.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx((1 + 0 + 4) + (1 + 0 + 4))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_distance_is_scipys_on_correlated_features() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12))
    y = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + 0.3
    a, b = moments(x), moments(y)
    root = sqrtm(a.covariance @ b.covariance).real
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_held_out_rows_are_never_trained_on(tmp_path: Path) -> None:
    bank = open_bank(bank_with_held_out(tmp_path), 32)
    assert (len(bank), len(bank.held_out)) == (36, 12)
    everything = bank.batch(torch.arange(36), torch.zeros(36, dtype=torch.bool), "cpu")
    assert everything.max() < 0 < bank.images(bank.held_out, "cpu").min()
    pd.DataFrame({"held_out": np.ones(48, dtype=bool)}).to_parquet(tmp_path / "bank.parquet")
    with pytest.raises(UserError, match="nothing is left"):
        open_bank(tmp_path / "bank.npy", 32)
    pd.DataFrame({"held_out": np.ones(5, dtype=bool)}).to_parquet(tmp_path / "bank.parquet")
    with pytest.raises(UserError, match="describes 5 images"):
        open_bank(tmp_path / "bank.npy", 32)


@needs_weights
def test_the_best_snapshot_is_kept_and_survives_a_restart(tmp_path: Path) -> None:
    bank = open_bank(bank_with_held_out(tmp_path), 32)
    out = tmp_path / "out"
    first = train(bank, out, TINY, Pace(minutes=5, max_images=8))
    assert np.isfinite(first.best)
    kept = (out / "portraits-32.safetensors").read_bytes()
    # Nothing can beat a distance of zero: what was kept stays.
    first.best = 0.0
    from factory.prior.state import save_state

    save_state(out / "state.pt", first)
    second = train(bank, out, TINY, Pace(minutes=5, max_images=16))
    assert second.images == 16 and second.best == 0.0
    assert (out / "portraits-32.safetensors").read_bytes() == kept


@needs_weights
def test_judge_prefers_images_like_the_held_out_ones(tmp_path: Path) -> None:
    bank = open_bank(bank_with_held_out(tmp_path), 32)
    judge = FrechetJudge(bank, "cpu")
    generator = torch.nn.Module()
    generator.config = TINY.generator()  # type: ignore[assignment]
    distances = []
    for rows in (bank.held_out, bank.training[: len(bank.held_out)]):
        images = bank.images(rows, "cpu")
        generator.forward = lambda z, images=images: images[: len(z)]  # type: ignore[assignment]
        distances.append(judge.distance(generator))  # type: ignore[arg-type]
    assert distances[0] < 1e-6 < distances[1]
