"""The files that a prior's training writes: log, pictures, states, and the best snapshot with its model card."""

import csv
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.stylegan2.fir import upsample
from emo_bench.methods.training.loss_log import cut_rows
from factory.prior.bank import ImageBank
from factory.prior.card import write_model_card
from factory.prior.frechet import FrechetJudge
from factory.prior.recipes import RecipeEncoder, is_coarse, paint
from factory.prior.state import PretrainState, save_state

COLUMNS = (
    "images",
    "seconds",
    "images_per_s",
    "mse",
    "l1",
    "perceptual",
    "loss_d",
    "loss_g",
    "loss_f",
    "r1",
    "real_logit",
    "fake_logit",
    "frechet",
)
GRID_COLUMNS = 10
GRID_PSI = (1.0, 1.0, 1.0, 0.7, 0.7, 0.7)


@dataclass(frozen=True)
class Pace:
    """When training stops and how often it writes; without ``max_images``, only the minutes limit it."""

    minutes: float
    max_images: int | None = None
    checkpoint_s: float = 120.0
    grid_s: float = 300.0
    log_s: float = 30.0
    judge_s: float = 1800.0


class TrainingRecord:
    """Writes files to the folder ``out`` when they are due; without ``judge`` it keeps the last snapshot."""

    def __init__(self, bank: ImageBank, out: Path, pace: Pace, bank_facts: str, judge: FrechetJudge | None) -> None:
        self._bank, self._out, self._pace, self._bank_facts, self._judge = bank, out, pace, bank_facts, judge
        start = time.monotonic()
        self._due = {
            "state": start + pace.checkpoint_s,
            "grid": start + 30.0,
            "log": start + pace.log_s,
            "judge": start + pace.judge_s,
        }
        self._logged = (0, 0.0)

    def open(self, state: PretrainState) -> None:
        """Begin, or continue from ``state``: log rows that an interrupted training wrote after it are dropped."""
        self._logged = (state.images, state.seconds)
        cut_rows(self._out / "log.csv", "images", state.images)
        _write_reals(self._bank, self._out / "reals.png")
        if self._judge is None:
            why = FrechetJudge.obstacle(self._bank)
            print(f"pretrain: the last snapshot is kept, not the best: {why}", flush=True)

    def note(self, state: PretrainState, losses: Mapping[str, Tensor], judge_now: bool = False) -> None:
        """Write the files that are due after a step; ``judge_now`` also measures the snapshot."""
        now = time.monotonic()
        if now >= self._due["log"]:
            images, seconds = self._logged
            speed = (state.images - images) / max(state.seconds - seconds, 1e-9)
            self._log(state, losses, speed)
            self._logged = (state.images, state.seconds)
            self._due["log"] = now + self._pace.log_s
        if now >= self._due["grid"]:
            _write_samples(state, self._bank, self._out)
            self._due["grid"] = now + self._pace.grid_s
        if (judge_now or now >= self._due["judge"]) and self._judge is not None and state.draws():
            self._log(state, {**losses, **self._measure(state, self._judge)}, 0.0)
            self._due["judge"] = time.monotonic() + self._pace.judge_s
        if now >= self._due["state"]:
            self._save(state)
            self._due["state"] = time.monotonic() + self._pace.checkpoint_s

    def close(self, state: PretrainState) -> None:
        """Write all files, due or not."""
        _write_samples(state, self._bank, self._out)
        if self._judge is not None and state.draws():
            self._measure(state, self._judge)
        self._save(state)

    def exported(self, state: PretrainState) -> bool:
        """Whether the network's file exists."""
        return (self._out / f"{_name(state)}.safetensors").exists()

    def _measure(self, state: PretrainState, judge: FrechetJudge) -> dict[str, Tensor]:
        """Measure the present snapshot and export it if it is the best until now."""
        distance = judge.distance(state.shown())
        if distance < state.best:
            state.best = distance
            _export(state, self._bank_facts, self._out)
        return {"frechet": torch.tensor(distance)}

    def _save(self, state: PretrainState) -> None:
        """Save the state and, without a judge, the network itself."""
        save_state(self._out / "state.pt", state)
        if self._judge is None and state.draws():
            _export(state, self._bank_facts, self._out)

    def _log(self, state: PretrainState, losses: Mapping[str, Tensor], speed: float) -> None:
        row: dict[str, float] = {name: round(float(value), 5) for name, value in losses.items()}
        row |= {"images": state.images, "seconds": round(state.seconds, 1), "images_per_s": round(speed, 2)}
        path = self._out / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        numbers = " ".join(f"{name} {float(value):.3f}" for name, value in losses.items())
        minutes = f"{state.seconds / 60:.1f}/{self._pace.minutes:g} min"
        print(f"pretrain: {minutes}, {state.images} images, {speed:.1f} images/s, {numbers}", flush=True)


def _name(state: PretrainState) -> str:
    return f"portraits-{state.config.resolution}"


def _export(state: PretrainState, bank_facts: str, out: Path) -> None:
    name = _name(state)
    facts = {
        "images": str(state.images),
        "minutes": f"{state.seconds / 60:.1f}",
        "config": json.dumps(asdict(state.config), sort_keys=True),
        "bank": bank_facts,
        "licence": "Apache-2.0",
    }
    if math.isfinite(state.best):
        facts["frechet"] = f"{state.best:.5f}"
    generator = state.shown()
    save_stylegan2(out / f"{name}.safetensors", generator, state.discriminator, facts, half=True)
    write_model_card(out / f"{name}.md", generator, facts)


@torch.no_grad()
def _write_samples(state: PretrainState, bank: ImageBank, out: Path) -> None:
    """Make a grid of the same latents every time, the lower half truncated to psi 0.7.

    During the warm-up by recipes: held-out pictures, with the generator's result for their recipes below each row.
    """
    path = out / f"samples-{state.images:08d}.png"
    device = state.generator.mapping.w_avg.device
    generator = state.shown()
    rows = []
    if isinstance(state.encoder, RecipeEncoder) and bank.recipes is not None:
        known = bank.held_out if len(bank.held_out) else bank.training
        shown = known[np.linspace(0, len(known) - 1, len(GRID_PSI) // 2 * GRID_COLUMNS).astype(np.int64)]
        coarse = is_coarse(state.config.resolution, state.images / state.config.warmup_images)
        for part in np.split(shown, len(GRID_PSI) // 2):
            recipes = torch.from_numpy(bank.recipes[part]).to(device)
            made = paint(generator, state.encoder, recipes, coarse).cpu()
            rows += [bank.images(part, "cpu"), upsample(made) if coarse else made]
    else:
        rng = torch.Generator().manual_seed(1)
        for psi in GRID_PSI:
            z = torch.randn(GRID_COLUMNS, state.config.z_dim, generator=rng).to(device)
            rows.append(generator(z, truncation_psi=psi).cpu())
    _write_grid(torch.stack(rows), path)


def _write_reals(bank: ImageBank, path: Path) -> None:
    count = len(GRID_PSI) * GRID_COLUMNS
    indices = torch.linspace(0, len(bank) - 1, count).long()
    images = bank.batch(indices, torch.zeros(count, dtype=torch.bool), "cpu")
    _write_grid(images.reshape(len(GRID_PSI), GRID_COLUMNS, *images.shape[1:]), path)


def _write_grid(images: Tensor, path: Path) -> None:
    """Write ``images`` [rows, columns, 3, R, R] in [-1, 1] as one PNG."""
    rows, columns, _, height, width = images.shape
    grid = images.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    pixels: np.ndarray = ((grid + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    Image.fromarray(pixels).save(path)
