"""Make a small InstructPix2Pix of portraits: ``python -m factory.diffusion --out diffusion``; see docs/diffusion.md.

The stages are: rendering the bank of edits (``OUT/bank``), training the autoencoder (``OUT/vae``), encoding the bank
and training the editor (``OUT/editor``), and writing the pipeline's folder (``OUT/portraits-diffusion``) with sheets to
look at. If a command is killed, give it again: it continues. The stage ``export`` also writes what an unfinished
training has.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.methods.seeds import parse_seed
from emo_bench.methods.training.state_file import load_state
from emo_bench.system.devices import chosen_device
from emo_bench.system.endings import exit_code
from emo_bench.untrusted.plain_json import read_json
from factory.diffusion import sheets
from factory.diffusion.autoencoder import (
    AutoencoderConfig,
    AutoencoderTraining,
    encode_bank,
    reconstruction_figures,
    train_autoencoder,
)
from factory.diffusion.bank import Bank, EditPlan, make_bank, open_bank
from factory.diffusion.editor import EditorConfig, EditorTraining, Networks, train_editor
from factory.diffusion.lineage import MOST_BYTES, write_trainings
from factory.diffusion.networks import require_diffusers
from factory.diffusion.pipeline import load_networks, load_pipeline, load_vae, save_pipeline

STAGES = ("bank", "vae", "editor", "export")
STATE, SETTINGS = "train.pt", "settings.json"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m factory.diffusion", description=__doc__)
    plan, vae, editor = EditPlan(), AutoencoderConfig(), EditorConfig()
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be repeated")
    parser.add_argument("--from", dest="start", type=Path, help="start from the weights in this folder of a pipeline")
    parser.add_argument("--vae", type=Path, help="folder of an AutoencoderKL that is taken as it is: none is trained")
    parser.add_argument("--weights", type=Path, help="folder of the pipeline; default: OUT/portraits-diffusion")
    parser.add_argument("--people", type=int, default=plan.people, help="people in the bank, about 30 pictures each")
    parser.add_argument("--vae-steps", type=int, default=vae.steps)
    parser.add_argument("--vae-batch", type=int, default=vae.batch)
    parser.add_argument("--steps", type=int, default=editor.steps, help="steps of the editor")
    parser.add_argument("--batch", type=int, default=editor.batch)
    parser.add_argument("--regression-steps", type=int, default=editor.regression_steps)
    parser.add_argument("--learning-rate", type=float, default=editor.learning_rate, help="of the editor")
    parser.add_argument("--seed", type=parse_seed, default=plan.seed)
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="videos of real people for the sheets")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is a GPU")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    given = _arguments().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    return exit_code(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    require_diffusers()
    device, stages = chosen_device(given.device), given.stage or STAGES
    if given.vae is not None and not (given.vae / "config.json").is_file():
        raise UserError(f"{given.vae} is not the folder of an autoencoder: config.json is missing")
    start = load_networks(given.start) if given.start else None
    if "bank" in stages:
        make_bank(given.out / "bank", EditPlan(given.people, seed=given.seed))
    bank = open_bank(given.out / "bank")
    sheets.bank_sheet(given.out / "bank.png", bank, 8)
    vae, vae_steps = _vae(given, bank, device, start, train="vae" in stages)
    if "editor" in stages or "export" in stages:
        training = _editor(given, bank, vae, device, start, train="editor" in stages)
    if "export" in stages:
        _export(given, bank, vae, vae_steps, training)


def _vae(
    given: argparse.Namespace, bank: Bank, device: str, start: tuple[Any, Networks] | None, train: bool
) -> tuple[Any, int]:
    """Return the autoencoder and its steps in this training."""
    if given.vae is not None:
        return load_vae(given.vae).to(device), 0
    config = AutoencoderConfig(steps=given.vae_steps, batch=given.vae_batch, seed=given.seed)
    folder = given.out / "vae"
    if train:
        training = train_autoencoder(bank, folder, config, device, start and start[0])
    else:
        training = AutoencoderTraining(bank, replace(config, perceptual_weight=0.0), device, start and start[0])
        _restore(training, folder)
    # Kept as it is for the editor: with a larger bank, the latents would be normalised otherwise.
    made = folder / f"autoencoder-{training.step}"
    if not made.exists():
        part = made.with_name(f".{made.name}.part")
        training.averaged().save_pretrained(part)
        os.replace(part, made)
    return load_vae(made).to(device), training.step


def _editor(
    given: argparse.Namespace, bank: Bank, vae: Any, device: str, start: tuple[Any, Networks] | None, train: bool
) -> EditorTraining:
    config = EditorConfig(
        steps=given.steps, batch=given.batch, learning_rate=given.learning_rate,
        regression_steps=0 if start else given.regression_steps, seed=given.seed,
    )  # fmt: skip
    latents, folder = encode_bank(vae, bank, device), given.out / "editor"
    if train:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, asdict(config))
        return train_editor(bank, latents, folder, config, device, start and start[1])
    # An export records the settings of the training, whatever its own command says.
    if (folder / SETTINGS).is_file():
        config = EditorConfig(**read_json(folder / SETTINGS, MOST_BYTES))
    training = EditorTraining(bank, latents, config, device, start and start[1])
    _restore(training, folder)
    return training


def _restore(training: AutoencoderTraining | EditorTraining, folder: Path) -> None:
    state = load_state(folder / STATE)
    if state is None:
        raise UserError(f"{folder} holds no training: run the stage {folder.name} first")
    training.restore(state)


def _export(given: argparse.Namespace, bank: Bank, vae: Any, vae_steps: int, training: EditorTraining) -> None:
    folder = given.weights or given.out / "portraits-diffusion"
    save_pipeline(folder, vae.cpu(), training.averaged())
    facts = {
        "people": len({row.person for row in bank.rows}), "pictures": len(bank),
        "vae_steps": vae_steps, "vae_batch": given.vae_batch, "steps": training.step, "batch": training.config.batch,
        "learning_rate": training.config.learning_rate, "seed": training.config.seed,
    }  # fmt: skip
    write_trainings(folder, given.start, facts)
    pipeline = load_pipeline(folder)
    frames = sheets.frames_of(given.video, 6, pipeline.vae.config.sample_size)
    for name, figure in reconstruction_figures(pipeline.vae, bank, frames).items():
        print(f"reconstruction of {name}: {figure:.2f} dB")
    sheets.edit_sheet(given.out / "edits.png", pipeline, sheets.held_out_people(bank, 6))
    for name, heads in frames.items():
        sheets.edit_sheet(given.out / f"edits-{name}.png", pipeline, heads[:2])


if __name__ == "__main__":
    sys.exit(main())
