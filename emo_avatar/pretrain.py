"""Trains a StyleGAN2 prior on an image bank: ``python -m emo_avatar.pretrain --images BANK.npy --out DIR``.

The bank is uint8 [N, S, S, 3] of FFHQ-aligned heads. Training stops after the stated minutes, counted over
all restarts; killed at any moment, the same command goes on from the last checkpoint, and with more minutes it
goes on from the end. Where the bank holds identities out, the snapshot nearest to them is the one that is kept.
"""

import argparse
import csv
import dataclasses
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.loss_log import cut_rows
from emo_avatar.pretrain_adversarial import (
    AdversarialConfig,
    discriminator_step,
    generator_step,
    non_finite,
    r1_step,
    update_average,
)
from emo_avatar.pretrain_bank import ImageBank, open_bank
from emo_avatar.pretrain_card import write_model_card
from emo_avatar.pretrain_frechet import FrechetJudge
from emo_avatar.pretrain_recipes import (
    COARSE,
    RecipeEncoder,
    check_code,
    cool,
    paint,
    recipe_step,
    teach_mapping,
)
from emo_avatar.pretrain_state import PretrainConfig, PretrainState, load_state, new_state, save_state
from emo_avatar.pretrain_warmup import warmup_step
from emo_avatar.stylegan2.fir import upsample
from emo_bench.errors import UserError

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
RECIPE_IMAGES = 80000
GRID_COLUMNS = 10
GRID_PSI = (1.0, 1.0, 1.0, 0.7, 0.7, 0.7)


@dataclass(frozen=True)
class Pace:
    """When training stops and how often it writes; ``max_images`` None leaves it to the minutes."""

    minutes: float
    max_images: int | None = None
    checkpoint_s: float = 120.0
    grid_s: float = 300.0
    log_s: float = 30.0
    judge_s: float = 1800.0


def train(
    bank: ImageBank,
    out: Path,
    config: PretrainConfig,
    pace: Pace,
    device: str = "cpu",
    init: Path | None = None,
) -> PretrainState:
    """Train, or go on training, in the folder ``out``.

    Leaves ``portraits-R.safetensors`` (averaged generator and discriminator, float16; the snapshot of least
    Frechet distance, else the last), ``portraits-R.md``, ``state.pt``, ``log.csv``, ``reals.png`` and
    ``samples-*.png`` there. Raises UserError when ``out``
    holds a training of another config, and when a loss is no longer finite (the last state is kept).
    """
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "state.pt"
    state = load_state(state_path, config, device) if state_path.exists() else new_state(config, device, init)
    cut_rows(out / "log.csv", "images", state.images)
    _write_reals(bank, out / "reals.png")
    bank_facts = json.dumps({"file": bank.path.name, "images": len(bank), "sha256": bank.sha256()})
    judge = FrechetJudge.open(bank, device)
    if judge is None:
        print(f"pretrain: the last snapshot is kept, not the best: {FrechetJudge.obstacle(bank)}", flush=True)
    clock = time.monotonic()
    due = {"state": clock + pace.checkpoint_s, "grid": clock + 30.0, "log": clock + pace.log_s}
    due["judge"] = clock + pace.judge_s
    logged_images, logged_s = state.images, state.seconds
    worked = False
    while not _finished(state, pace):
        losses = _step(state, bank, device)
        worked = True
        now = time.monotonic()
        state.seconds += now - clock
        clock = now
        if now >= due["log"]:
            speed = (state.images - logged_images) / max(state.seconds - logged_s, 1e-9)
            _log(out / "log.csv", state, losses, speed, pace)
            logged_images, logged_s = state.images, state.seconds
            due["log"] = now + pace.log_s
        if now >= due["grid"]:
            _write_samples(state, bank, out)
            due["grid"] = now + pace.grid_s
        if now >= due["judge"] and judge is not None and state.draws():
            losses |= _judge(state, judge, bank_facts, out)
            _log(out / "log.csv", state, losses, 0.0, pace)
            due["judge"] = time.monotonic() + pace.judge_s
        if now >= due["state"]:
            _save(state, None if judge else bank_facts, out)
            due["state"] = time.monotonic() + pace.checkpoint_s
    if state.encoder is not None and not state.draws() and state.images >= config.warmup_images:
        _end_warmup(state, bank, device)
    if worked or not (out / f"{_name(state)}.safetensors").exists():
        _write_samples(state, bank, out)
        if judge is not None and state.draws():
            _judge(state, judge, bank_facts, out)
        _save(state, None if judge else bank_facts, out)
    return state


def _judge(state: PretrainState, judge: FrechetJudge, bank_facts: str, out: Path) -> dict[str, Tensor]:
    """Measure the snapshot at hand and export it if it is the best so far."""
    distance = judge.distance(state.shown())
    if distance < state.best:
        state.best = distance
        _export(state, bank_facts, out)
    return {"frechet": torch.tensor(distance)}


def _finished(state: PretrainState, pace: Pace) -> bool:
    enough = pace.max_images is not None and state.images >= pace.max_images
    return enough or state.seconds >= pace.minutes * 60


def _step(state: PretrainState, bank: ImageBank, device: str) -> dict[str, Tensor]:
    """One batch through the stage at hand; UserError when a loss is NaN or infinite."""
    config = state.config
    if state.encoder is not None and state.images >= config.warmup_images:
        _end_warmup(state, bank, device)
    by_recipe = isinstance(state.encoder, RecipeEncoder)
    indices = torch.randint(len(bank), (config.batch,), generator=state.rng)
    flips = torch.rand(config.batch, generator=state.rng) < (0.5 if config.flip and not by_recipe else 0.0)
    real = bank.batch(indices, flips, device)
    z = torch.randn(2, config.batch, config.z_dim, generator=state.rng).to(device)
    game = config.adversarial
    if state.encoder is not None:
        losses = _warmup(
            state, real, z[0], None if bank.recipes is None else bank.recipes_of(indices, device)
        )
    else:
        judge = state.judge()
        losses = discriminator_step(
            state.generator, state.discriminator, state.optimizer_d, real, z[0], game, judge
        )
        if state.steps % game.r1_interval == 0:
            losses |= r1_step(state.discriminator, state.optimizer_d, real, game)
        losses |= generator_step(state.generator, state.discriminator, state.optimizer_g, z[1], game, judge)
    broken = non_finite(losses)
    if broken:
        raise UserError(
            f"{broken} is not finite after {state.images} images: the last checkpoint is kept; "
            "lower the learning rate or raise --r1-gamma."
        )
    state.steps += 1
    state.images += config.batch
    if state.encoder is None:
        update_average(state.average, state.generator, state.images, config.batch, game)
    return losses


def _warmup(state: PretrainState, real: Tensor, epsilon: Tensor, recipes: Tensor | None) -> dict[str, Tensor]:
    """One batch of reconstruction, from recipes or from the pictures themselves."""
    assert state.optimizer_warmup is not None
    config, autocast = state.config, state.config.adversarial.autocast
    if isinstance(state.encoder, RecipeEncoder):
        assert recipes is not None and state.perceptual is not None
        progress = state.images / config.warmup_images
        cool(state.optimizer_warmup, progress)
        parts = state.generator, state.encoder, state.perceptual, state.optimizer_warmup
        return recipe_step(*parts, real, recipes, progress < COARSE, autocast)
    assert state.encoder is not None
    return warmup_step(state.generator, state.encoder, state.optimizer_warmup, real, epsilon, autocast)


def _end_warmup(state: PretrainState, bank: ImageBank, device: str) -> None:
    if isinstance(state.encoder, RecipeEncoder):
        share = teach_mapping(state.generator.mapping, state.encoder, bank, state.config.seed, device)
        print(
            f"pretrain: the mapping explains {share:.3f} of the variance of w over held-out recipes",
            flush=True,
        )
    state.end_warmup()


def _save(state: PretrainState, bank_facts: str | None, out: Path) -> None:
    """Save the state, and, where there is no judge, the network itself."""
    save_state(out / "state.pt", state)
    if bank_facts is not None and state.draws():
        _export(state, bank_facts, out)


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
    """A grid of the same latents every time, the lower half truncated to psi 0.7.

    While the warm-up by recipes is on: held-out pictures, each row above what the generator makes of their recipes.
    """
    path = out / f"samples-{state.images:08d}.png"
    device = state.generator.mapping.w_avg.device
    generator = state.shown()
    rows = []
    if isinstance(state.encoder, RecipeEncoder) and bank.recipes is not None:
        known = bank.held_out if len(bank.held_out) else bank.training
        shown = known[np.linspace(0, len(known) - 1, len(GRID_PSI) // 2 * GRID_COLUMNS).astype(np.int64)]
        coarse = state.images < COARSE * state.config.warmup_images
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


def _log(path: Path, state: PretrainState, losses: Mapping[str, Tensor], speed: float, pace: Pace) -> None:
    row: dict[str, float] = {name: round(float(value), 5) for name, value in losses.items()}
    row |= {"images": state.images, "seconds": round(state.seconds, 1), "images_per_s": round(speed, 2)}
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    numbers = " ".join(f"{name} {float(value):.3f}" for name, value in losses.items())
    minutes = f"{state.seconds / 60:.1f}/{pace.minutes:g} min"
    print(f"pretrain: {minutes}, {state.images} images, {speed:.1f} images/s, {numbers}", flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emo_avatar.pretrain", description=__doc__)
    default, game = PretrainConfig(), AdversarialConfig()
    parser.add_argument("--images", type=Path, required=True, help="image bank, .npy uint8 [N, S, S, 3]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--resolution", type=int, default=default.resolution)
    parser.add_argument("--minutes", type=float, default=60.0, help="training time over all restarts")
    parser.add_argument(
        "--warmup-images",
        type=int,
        help=f"images of reconstruction first; default {RECIPE_IMAGES} where the bank has recipes, else {default.warmup_images}",
    )
    parser.add_argument("--init", type=Path, help="prior of this or a lower resolution to start from")
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--channel-base", type=int, default=default.channel_base)
    parser.add_argument("--channel-max", type=int, default=default.channel_max)
    parser.add_argument(
        "--critic-share",
        type=float,
        default=default.critic_share,
        help="the discriminator's width by the generator's",
    )
    parser.add_argument("--learning-rate", type=float, default=game.learning_rate)
    parser.add_argument("--r1-gamma", type=float, default=game.r1_gamma)
    parser.add_argument(
        "--feature-weight", type=float, default=game.feature_weight, help="of the judge on features; 0: none"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--no-flip", action="store_true")
    parser.add_argument("--no-autocast", action="store_true", help="float32 throughout")
    parser.add_argument("--grid-minutes", type=float, default=5.0)
    parser.add_argument("--judge-minutes", type=float, default=30.0, help="between two Frechet distances")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def _with_warmup(config: PretrainConfig, bank: ImageBank, warmup_images: int | None) -> PretrainConfig:
    """The warm-up that the bank allows, for as many images as stated, or else as that warm-up wants."""
    recipe_dim = 0 if bank.recipes is None else bank.recipes.shape[1]
    usual = RECIPE_IMAGES if recipe_dim else config.warmup_images
    images = usual if warmup_images is None else warmup_images
    return dataclasses.replace(config, recipe_dim=recipe_dim, warmup_images=images)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 is the exit code for a mistake of the user."""
    given = _arguments().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    game = AdversarialConfig(
        learning_rate=given.learning_rate,
        r1_gamma=given.r1_gamma,
        autocast=not given.no_autocast,
        feature_weight=given.feature_weight,
    )
    pace = Pace(given.minutes, grid_s=given.grid_minutes * 60, judge_s=given.judge_minutes * 60)
    try:
        config = PretrainConfig(
            resolution=given.resolution,
            channel_base=given.channel_base,
            channel_max=given.channel_max,
            critic_share=given.critic_share,
            batch=given.batch,
            flip=not given.no_flip,
            seed=given.seed,
            adversarial=game,
        )
        bank = open_bank(given.images, given.resolution)
        check_code(bank, config.z_dim)
        config = _with_warmup(config, bank, given.warmup_images)
        state = train(bank, given.out, config, pace, given.device, given.init)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"pretrain: done, {state.images} images in {state.seconds / 60:.1f} min, in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
