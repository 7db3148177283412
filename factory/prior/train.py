"""Train a StyleGAN2 prior on an image bank: ``python -m factory.prior.train --images BANK.npy --out DIR``.

The bank is uint8 [N, S, S, 3] of FFHQ-aligned heads. Training stops after the given minutes, counted over all restarts.
After an interruption, the same command continues from the last checkpoint; after the end, it continues if given more
minutes. If the bank has held-out identities, the snapshot nearest to them is kept.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from emo_bench.errors import UserError
from emo_bench.methods.seeds import parse_seed
from emo_bench.system.devices import chosen_device
from emo_bench.system.endings import exit_code
from factory.prior.adversarial import (
    AdversarialConfig,
    discriminator_step,
    generator_step,
    non_finite,
    r1_step,
    update_average,
)
from factory.prior.bank import ImageBank, open_bank
from factory.prior.frechet import FrechetJudge
from factory.prior.recipes import RecipeEncoder, check_code, cool, finish, finishing_steps, recipe_step, teach_mapping
from factory.prior.record import Pace, TrainingRecord
from factory.prior.state import PretrainConfig, PretrainState, load_state, new_state
from factory.prior.warmup import warmup_step

RECIPE_IMAGES = 170000


def train(
    bank: ImageBank, out: Path, config: PretrainConfig, pace: Pace, device: str = "cpu", init: Path | None = None
) -> PretrainState:
    """Start or continue training in the folder ``out``.

    Writes to it ``portraits-R.safetensors`` (averaged generator and discriminator, float16; the snapshot with the
    smallest Frechet distance, or the last one without a judge), ``portraits-R.md``, ``state.pt``, ``log.csv``,
    ``reals.png`` and ``samples-*.png``. Raises UserError if ``out`` holds a training of another config, or if a loss is
    no longer finite (the last state is kept).
    """
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "state.pt"
    state = load_state(state_path, config, device) if state_path.exists() else new_state(config, device, init)
    bank_facts = json.dumps({"file": bank.path.name, "images": len(bank), "sha256": bank.sha256()})
    record = TrainingRecord(bank, out, pace, bank_facts, FrechetJudge.open(bank, device))
    record.open(state)
    clock = time.monotonic()
    worked = False
    while not _finished(state, pace):
        drew = state.draws()
        losses = _step(state, bank, device)
        worked = True
        now = time.monotonic()
        state.seconds += now - clock
        clock = now
        record.note(state, losses, judge_now=state.draws() and not drew)
    if state.images >= config.warmup_images and not state.draws():
        _end_warmup(state, bank, device)
    if worked or not record.exported(state):
        record.close(state)
    return state


def _finished(state: PretrainState, pace: Pace) -> bool:
    enough = pace.max_images is not None and state.images >= pace.max_images
    return enough or state.seconds >= pace.minutes * 60


def _step(state: PretrainState, bank: ImageBank, device: str) -> dict[str, Tensor]:
    """Run one batch of the present stage; UserError if a loss is NaN or infinite."""
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
        losses = _warmup(state, real, z[0], None if bank.recipes is None else bank.recipes_of(indices, device))
    else:
        judge = state.judge()
        losses = discriminator_step(state.generator, state.discriminator, state.optimizer_d, real, z[0], game, judge)
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
    """Run one batch of reconstruction, from recipes or from the pictures themselves."""
    assert state.optimizer_warmup is not None
    config, autocast = state.config, state.config.adversarial.autocast
    if isinstance(state.encoder, RecipeEncoder):
        assert recipes is not None and state.perceptual is not None
        progress = state.images / config.warmup_images
        cool(state.optimizer_warmup, progress)
        parts = state.generator, state.encoder, state.perceptual, state.optimizer_warmup
        return recipe_step(*parts, real, recipes, progress, autocast)
    assert state.encoder is not None
    return warmup_step(state.generator, state.encoder, state.optimizer_warmup, real, epsilon, autocast)


def _end_warmup(state: PretrainState, bank: ImageBank, device: str) -> None:
    if isinstance(state.encoder, RecipeEncoder):
        share = teach_mapping(state.generator.mapping, state.encoder, bank, state.config.seed, device)
        print(f"pretrain: the mapping explains {share:.3f} of the variance of w over held-out recipes", flush=True)
        config = state.config
        steps = finishing_steps(config.warmup_images, config.batch)
        finish(state.generator, bank, config.seed, device, config.adversarial.autocast, config.batch, steps)
    state.end_warmup()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m factory.prior.train", description=__doc__)
    default, game = PretrainConfig(), AdversarialConfig()
    parser.add_argument("--images", type=Path, required=True, help="image bank, .npy uint8 [N, S, S, 3]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--resolution", type=int, default=default.resolution)
    parser.add_argument("--minutes", type=float, default=60.0, help="training time over all restarts")
    parser.add_argument("--max-images", type=int, help="stop earlier, after this number of images in total")
    parser.add_argument(
        "--warmup-images",
        type=int,
        help=(
            f"images of reconstruction first; default {RECIPE_IMAGES} where the bank has recipes, else "
            f"{default.warmup_images}"
        ),
    )
    parser.add_argument("--init", type=Path, help="prior of this or a lower resolution to start from")
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--channel-base", type=int, default=default.channel_base)
    parser.add_argument("--channel-max", type=int, default=default.channel_max)
    parser.add_argument(
        "--critic-share", type=float, default=default.critic_share, help="discriminator width / generator width"
    )
    parser.add_argument("--learning-rate", type=float, default=game.learning_rate)
    parser.add_argument("--r1-gamma", type=float, default=game.r1_gamma)
    parser.add_argument(
        "--feature-weight", type=float, default=game.feature_weight, help="weight of the feature discriminator; 0: none"
    )
    parser.add_argument("--seed", type=parse_seed, default=default.seed)
    parser.add_argument("--no-flip", action="store_true")
    parser.add_argument("--no-autocast", action="store_true", help="compute everything in float32")
    parser.add_argument("--grid-minutes", type=float, default=5.0)
    parser.add_argument("--judge-minutes", type=float, default=30.0, help="minutes between two Frechet distances")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is a GPU")
    return parser


def _with_warmup(config: PretrainConfig, bank: ImageBank, warmup_images: int | None) -> PretrainConfig:
    """Return the number of warm-up images: the given one, or the default of the bank's warm-up."""
    recipe_dim = 0 if bank.recipes is None else bank.recipes.shape[1]
    usual = RECIPE_IMAGES if recipe_dim else config.warmup_images
    images = usual if warmup_images is None else warmup_images
    return dataclasses.replace(config, recipe_dim=recipe_dim, warmup_images=images)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    given = _arguments().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    return exit_code(lambda: _run(given))


def _run(given: argparse.Namespace) -> str:
    device = chosen_device(given.device)
    game = AdversarialConfig(
        learning_rate=given.learning_rate,
        r1_gamma=given.r1_gamma,
        autocast=not given.no_autocast,
        feature_weight=given.feature_weight,
    )
    pace = Pace(
        given.minutes, max_images=given.max_images, grid_s=given.grid_minutes * 60, judge_s=given.judge_minutes * 60
    )
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
    state = train(bank, given.out, config, pace, device, given.init)
    return f"pretrain: done, {state.images} images in {state.seconds / 60:.1f} min, in {given.out}"


if __name__ == "__main__":
    sys.exit(main())
