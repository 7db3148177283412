"""Emo-Avatar through the command line: killed in each stage it ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.stylegan2 import Generator, GeneratorConfig

SETTINGS = {
    "steps": "9", "checkpoint_every_steps": "3", "projection_steps": "30", "tuning_steps": "4",
    "max_train_frames": "12", "flow_widths": "8,8,8,8,8", "gan_start_step": "4", "texture_px": "64",
}  # fmt: skip


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("prior") / "small.safetensors"
    shape = GeneratorConfig(
        img_resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=1024, channel_max=32, use_noise=False
    )
    save_stylegan2(path, Generator(shape))
    return path


def command(prior: Path, runs: Path) -> list[str]:
    settings = [f"{key}={value}" for key, value in {**SETTINGS, "prior": str(prior)}.items()]
    options = [word for setting in settings for word in ("--set", setting)]
    base = ["run", "--method", "emo-avatar", "--actor", "1", "--profile", "smoke", "--no-trivial"]
    main = "import sys; from emo_bench.cli import main; sys.exit(main())"
    return [sys.executable, "-c", main, *base, "--runs", str(runs), *options]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "EMO_BENCH_HOME": str(home), "EMO_BENCH_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def finish(prior: Path, runs: Path) -> Path:
    done = subprocess.run(
        command(prior, runs), env=environment(runs / "home"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return next(runs.rglob("run.json")).parent


def kill_when(name: str, prior: Path, runs: Path) -> None:
    """Start the run and kill it, without a chance to tidy up, once a file of that name is there."""
    process = subprocess.Popen(
        command(prior, runs), env=environment(runs / "home"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while process.poll() is None and not list(runs.rglob(name)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(runs.rglob(name)), f"{name} never came"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_in_init_and_in_render_it_ends_with_the_same_avatar(prior: Path, tmp_path: Path) -> None:
    undisturbed = finish(prior, tmp_path / "whole")
    kill_when("init.pt", prior, tmp_path / "killed")
    kill_when("render.pt", prior, tmp_path / "killed")
    resumed = finish(prior, tmp_path / "killed")

    for name, tensor in load_file(undisturbed / "checkpoint.safetensors").items():
        assert torch.equal(tensor, load_file(resumed / "checkpoint.safetensors")[name]), name
    scores = [pd.read_parquet(folder / "frames.parquet") for folder in (undisturbed, resumed)]
    pd.testing.assert_frame_equal(*scores)
    losses = pd.read_csv(resumed / "train.csv")
    assert losses["step"].tolist() == list(range(9)), "every step is logged once"
    assert not list(resumed.glob("*.part*")), "nothing half-written is left"
    for picture in ("init.png", "train.png"):
        with Image.open(resumed / picture) as sheet:
            assert sheet.size[1] == 3 * 64
