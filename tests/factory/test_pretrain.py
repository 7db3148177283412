"""Training of a prior on synthetic banks: it learns, resumes to the bit, survives kill -9."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emo_avatar.checkpoints import load_stylegan2
from emo_avatar.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from emo_avatar.stylegan2.fir import upsample
from emo_avatar.stylegan2.growth import grow_discriminator, grow_generator
from emo_bench.errors import UserError
from emo_bench.perceptual import missing_assets
from factory.prior.adversarial import AdversarialConfig, r1_step
from factory.prior.bank import open_bank
from factory.prior.features import BACKEND, FeatureDiscriminator
from factory.prior.record import Pace
from factory.prior.state import PretrainConfig, PretrainState, load_state, new_state, save_state
from factory.prior.train import main, train
from factory.prior.warmup import Encoder, blank_rgb, warmup_optimizer, warmup_step

TINY = PretrainConfig(
    resolution=32,
    z_dim=8,
    w_dim=8,
    mapping_layers=2,
    channel_base=256,
    channel_max=16,
    critic_share=1.0,
    batch=4,
    warmup_images=0,
    adversarial=AdversarialConfig(r1_interval=3, autocast=False, feature_weight=0.0),
)
FLAGS = ["--resolution", "32", "--channel-base", "256", "--channel-max", "16", "--batch", "4"]
FLAGS += ["--feature-weight", "0"]
JUDGED = dataclasses.replace(TINY, adversarial=AdversarialConfig(r1_interval=3, autocast=False))
needs_features = pytest.mark.skipif(bool(missing_assets(BACKEND)), reason=f"{BACKEND} is not on this machine")


def discs(count: int, size: int = 32) -> np.ndarray:
    """Bright discs of random place and colour on a dark ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] + 0.5
    images = np.full((count, size, size, 3), 40, np.uint8)
    for image in images:
        cx, cy = rng.uniform(size * 0.4, size * 0.6, 2)
        image[(x - cx) ** 2 + (y - cy) ** 2 < (size / 4) ** 2] = rng.integers(150, 255, 3)
    return images


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    path = tmp_path / "bank.npy"
    np.save(path, discs(64))
    return path


def run_to(out: Path, bank: Path, images: int, config: PretrainConfig = TINY) -> PretrainState:
    return train(open_bank(bank, 32), out, config, Pace(minutes=5, max_images=images))


def assert_same(a: PretrainState, b: PretrainState) -> None:
    assert (a.images, a.steps) == (b.images, b.steps)
    for name in ("generator", "discriminator", "average"):
        theirs = getattr(b, name).state_dict()
        for key, value in getattr(a, name).state_dict().items():
            assert torch.equal(value, theirs[key]), f"{name}.{key}"


def test_resumed_training_ends_with_the_same_bits(bank_path: Path, tmp_path: Path) -> None:
    whole = run_to(tmp_path / "whole", bank_path, 40)
    run_to(tmp_path / "parts", bank_path, 20)
    assert_same(whole, run_to(tmp_path / "parts", bank_path, 40))
    again = run_to(tmp_path / "parts", bank_path, 40)
    assert again.images == 40


@needs_features
def test_resumed_training_with_the_judge_of_features_ends_with_the_same_bits(bank_path: Path, tmp_path: Path) -> None:
    whole = run_to(tmp_path / "whole", bank_path, 16, JUDGED)
    run_to(tmp_path / "parts", bank_path, 8, JUDGED)
    parts = run_to(tmp_path / "parts", bank_path, 16, JUDGED)
    assert_same(whole, parts)
    assert whole.features is not None and parts.features is not None
    theirs = parts.features.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.features.state_dict().items())
    assert not any("mixing" in key or "stages" in key for key in theirs)


@needs_features
def test_judge_of_features_tells_real_from_false_and_passes_gradients(bank_path: Path) -> None:
    """A few steps tell discs from noise of the same mean; the trunk stays as published."""
    torch.manual_seed(0)
    judge = FeatureDiscriminator.from_assets("cpu")
    trunk = [value.clone() for value in judge._trunk[0].state_dict().values()]
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.0, 0.99))
    bank = open_bank(bank_path, 32)
    for step in range(12):
        real = bank.images(np.arange(4) + 4 * step % 60, "cpu")
        fake = (real.mean() + 0.3 * torch.randn_like(real)).clamp(-1, 1).requires_grad_(True)
        logits = judge(torch.cat([fake, real]))
        loss = torch.nn.functional.softplus(logits[:4]).mean() + torch.nn.functional.softplus(-logits[4:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logits.shape == (8, 4)
    assert (logits[4:].mean(dim=0) > logits[:4].mean(dim=0) + 0.5).all()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    after = judge._trunk[0].state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(trunk, after, strict=True))


def test_outputs(bank_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state = run_to(out, bank_path, 12)
    checkpoint = load_stylegan2(out / "portraits-32.safetensors")
    assert checkpoint.discriminator is not None
    assert checkpoint.metadata["images"] == "12"
    assert not checkpoint.generator.config.use_noise
    z = torch.randn(2, 8)
    with torch.no_grad():
        expected = state.average(z)
        assert (checkpoint.generator(z) - expected).abs().max() < 1e-2 * expected.abs().max()
    card = (out / "portraits-32.md").read_text()
    for fact in ("12 of the adversarial game", "CC0", "Apache-2.0", "64 images", checkpoint.metadata["bank"][-66:-2]):
        assert fact in card
    assert Image.open(out / "samples-00000012.png").size == (320, 192)
    reals = np.asarray(Image.open(out / "reals.png"))
    assert np.array_equal(reals[:32, :32], discs(64)[0])


def test_killed_process_goes_on(bank_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = TINY
    state = new_state(config, "cpu")
    out.mkdir()
    save_state(out / "state.pt", state)
    script = (
        "import sys, torch; torch.set_num_threads(1)\nfrom pathlib import Path\n"
        "from tests_pretrain_config import TINY\nfrom factory.prior.train import train\n"
        "from factory.prior.record import Pace\nfrom factory.prior.bank import open_bank\n"
        "bank, out = map(Path, sys.argv[1:])\n"
        "train(open_bank(bank, 32), out, TINY, Pace(5, checkpoint_s=0.0, log_s=0.0))\n"
    )
    (tmp_path / "tests_pretrain_config.py").write_text(
        "from factory.prior.adversarial import AdversarialConfig\nfrom factory.prior.state import PretrainConfig\n"
        f"TINY = {config!r}\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"}
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(bank_path), str(out)], env=environment, stdout=subprocess.DEVNULL
    )
    log = out / "log.csv"
    deadline = time.monotonic() + 60
    while (not log.exists() or len(log.read_text().splitlines()) < 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = load_state(out / "state.pt", config, "cpu")
    assert killed.images >= 8
    rows_before = [row for row in csv.DictReader(log.open()) if int(row["images"]) <= killed.images]
    resumed = run_to(out, bank_path, killed.images + 8)
    assert_same(resumed, run_to(tmp_path / "whole", bank_path, killed.images + 8))
    assert list(csv.DictReader(log.open()))[: len(rows_before)] == rows_before


def test_game_moves_the_images_towards_the_bank(tmp_path: Path) -> None:
    """After some tiny steps the average image is nearer to the bank's than at the start."""
    path = tmp_path / "bank.npy"
    np.save(path, discs(256))
    bank = open_bank(path, 32)
    mean = torch.from_numpy(bank.images_u8.mean(axis=0)).permute(2, 0, 1).float() / 127.5 - 1

    def distance(state: PretrainState) -> float:
        with torch.no_grad():
            images = state.average(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)))
        return float((images.mean(dim=0) - mean).square().mean())

    start = distance(new_state(TINY, "cpu"))
    assert distance(run_to(tmp_path / "out", path, 400)) < 0.5 * start


def test_warmup_learns_to_reconstruct_and_hands_its_trunk_over() -> None:
    torch.manual_seed(0)
    config = DiscriminatorConfig(32, channel_base=256, channel_max=16)
    generator = Generator(TINY.generator())
    encoder, discriminator = Encoder(config, 8), Discriminator(config)
    blank_rgb(generator)
    optimizer = warmup_optimizer(generator, encoder)
    real = torch.from_numpy(discs(16)).permute(0, 3, 1, 2).float() / 127.5 - 1
    errors = []
    for _ in range(80):
        losses = warmup_step(generator, encoder, optimizer, real, torch.randn(16, 8), autocast=False)
        errors.append(float(losses["mse"]))
    assert errors[-1] < 0.3 * errors[0]
    encoder.hand_over(discriminator)
    trunk = encoder.state_dict()
    for name, value in discriminator.state_dict().items():
        assert torch.equal(value, trunk[name]) == (not name.startswith("b4.")) if name in trunk else True
    assert "b32.conv0.weight" in trunk


def test_warmup_comes_first_and_ends(bank_path: Path, tmp_path: Path) -> None:
    config = PretrainConfig(**{**vars(TINY), "warmup_images": 8})
    state = run_to(tmp_path / "out", bank_path, 20, config)
    assert state.encoder is None
    run_to(tmp_path / "parts", bank_path, 4, config)
    assert_same(state, run_to(tmp_path / "parts", bank_path, 20, config))
    resumed = load_state(tmp_path / "parts" / "state.pt", config, "cpu")
    assert resumed.encoder is None
    waiting = new_state(PretrainConfig(**{**vars(TINY), "warmup_images": 8}), "cpu")
    assert waiting.encoder is not None
    assert waiting.shown() is waiting.generator


def test_r1_is_the_squared_gradient() -> None:
    """A discriminator's gradient against a finite difference."""
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorConfig(32, channel_base=64, channel_max=4))
    real = torch.randn(1, 3, 32, 32)
    leaf = real.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(leaf).sum(), leaf)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        slope = float(discriminator(real + step) - discriminator(real - step)) / 2e-2
    assert slope == pytest.approx(float(gradient.norm()), rel=2e-2)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.0)
    penalty = r1_step(discriminator, optimizer, real, AdversarialConfig())["r1"]
    assert float(penalty) == pytest.approx(slope**2, rel=4e-2)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_grown_networks_start_from_the_smaller_ones(tmp_path: Path, bank_path: Path) -> None:
    torch.manual_seed(0)
    small = Generator(GeneratorConfig(32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16))
    grown = grow_generator(small, 128)
    z = torch.randn(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(grown(z), upsample(upsample(small(z))))
    critic = Discriminator(DiscriminatorConfig(32, channel_base=256, channel_max=16))
    taller = grow_discriminator(critic, 64)
    assert torch.equal(taller.state_dict()["b32.conv1.weight"], critic.state_dict()["b32.conv1.weight"])
    run_to(tmp_path / "small", bank_path, 8)
    large = PretrainConfig(**{**vars(TINY), "resolution": 64})
    prior = tmp_path / "small" / "portraits-32.safetensors"
    state = new_state(large, "cpu", prior)
    with torch.no_grad():
        torch.testing.assert_close(state.average(z), upsample(load_stylegan2(prior).generator(z)))
    with pytest.raises(UserError, match="other sizes"):
        new_state(PretrainConfig(**{**vars(large), "channel_max": 8}), "cpu", prior)


def test_bank_is_shrunk_and_mirrored(tmp_path: Path) -> None:
    path = tmp_path / "bank.npy"
    images = discs(4, 64)
    np.save(path, images)
    bank = open_bank(path, 32)
    batch = bank.batch(torch.tensor([0, 0]), torch.tensor([False, True]), "cpu")
    expected = images[0].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)) / 127.5 - 1
    np.testing.assert_allclose(batch[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)
    assert torch.equal(batch[1], batch[0].flip(2))


def test_max_images_end_it_before_its_minutes(
    bank_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--images", str(bank_path), "--out", str(tmp_path / "out"), *FLAGS, "--minutes", "60"]
    assert main([*flags, "--max-images", "8"]) == 0
    assert "done, 8 images" in capsys.readouterr().out


def test_mistakes_get_one_line(bank_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    floats = tmp_path / "floats.npy"
    np.save(floats, np.zeros((4, 32, 32, 3), np.float32))
    out = str(tmp_path / "out")
    for bank, flags, words in (
        (tmp_path / "missing.npy", FLAGS, "missing.npy"),
        (floats, FLAGS, "float32"),
        (bank_path, [*FLAGS, "--resolution", "64"], "multiple of 64"),
        (bank_path, [*FLAGS, "--resolution", "33"], "power of two"),
    ):
        assert main(["--images", str(bank), "--out", out, *flags]) == 2
        printed = capsys.readouterr().err
        assert words in printed
        assert printed.count("\n") == 1
    run_to(tmp_path / "out", bank_path, 4)
    with pytest.raises(UserError, match="batch=4, not 8"):
        run_to(tmp_path / "out", bank_path, 4, PretrainConfig(**{**vars(TINY), "batch": 8}))


def test_diverged_training_stops_and_keeps_the_last_state(bank_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state = run_to(out, bank_path, 8)
    before = (out / "state.pt").read_bytes()
    for parameter in state.generator.parameters():
        parameter.data.fill_(float("nan"))
    broken = tmp_path / "broken"
    broken.mkdir()
    save_state(broken / "state.pt", state)
    poisoned = (broken / "state.pt").read_bytes()
    with pytest.raises(UserError, match="not finite after 8 images"):
        run_to(broken, bank_path, 16)
    assert (broken / "state.pt").read_bytes() == poisoned
    assert (out / "state.pt").read_bytes() == before
