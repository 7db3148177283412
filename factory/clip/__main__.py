"""Make, train and measure the small CLIP: ``python -m factory.clip --heads heads.npy --out clip``.

``heads.npy`` is a bank of ``python -m factory.studio.supply``. There are three stages; each is done once and continues
after an interruption: painting heads in all styles (``OUT/styled.npy``), training (``OUT/state.pt``, ``OUT/log.csv``)
and measurement, which writes the model card next to the weights.

``--judge`` trains the second CLIP, which only scores (docs/metrics.md): its captions have other words. Give it another
seed, and a bank of other people (``python -m factory.studio.supply --seed 1``).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from emo_bench.methods.seeds import parse_seed
from emo_bench.system.devices import chosen_device
from emo_bench.system.endings import exit_code
from factory.clip.card import write_card
from factory.clip.evaluation import evaluate
from factory.clip.styled_bank import StyledPlan, make_styled_bank, open_styled_bank
from factory.clip.training import MODEL_NAMES, ClipConfig, read_facts, train
from factory.clip.wordings import FIRST, JUDGE

STAGES = ("styles", "train", "evaluate")
PROGRAM = "python -m factory.clip"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    plan, config = StyledPlan(Path()), ClipConfig()
    parser.add_argument("--heads", type=Path, required=True, help="bank of heads, .npy with its .parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--weights", type=Path, help="folder of the model and its card; default: in OUT")
    parser.add_argument("--judge", action="store_true", help="train the CLIP that judges what the first one trained")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be repeated")
    parser.add_argument("--size", type=int, default=plan.size_px, help="side of the styled heads in px")
    parser.add_argument("--styles-per-head", type=int, default=plan.styles_per_head)
    parser.add_argument("--styles-per-held-out", type=int, default=plan.styles_per_held_out)
    parser.add_argument("--steps", type=int, default=config.steps)
    parser.add_argument("--refine-steps", type=int, default=config.refine_steps)
    parser.add_argument("--batch", type=int, default=config.batch)
    parser.add_argument("--learning-rate", type=float, default=config.learning_rate)
    parser.add_argument("--seed", type=parse_seed, default=config.seed)
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="videos of real people to measure on")
    parser.add_argument("--frames", type=int, default=24, help="frames of each video")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes that paint styles")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is a GPU")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = _arguments().parse_args(words)
    if given.threads:
        torch.set_num_threads(given.threads)
    return exit_code(lambda: _run(given, f"{PROGRAM} {shlex.join(words)}"))


def _run(given: argparse.Namespace, command: str) -> None:
    device, stages = chosen_device(given.device), given.stage or STAGES
    styled = given.out / "styled.npy"
    wordings = JUDGE.name if given.judge else FIRST.name
    weights = given.weights or given.out / MODEL_NAMES[wordings]
    if "styles" in stages and not styled.exists():
        plan = StyledPlan(given.heads, given.size, given.styles_per_head, given.styles_per_held_out, given.seed)
        make_styled_bank(styled, plan, given.processes)
    bank = open_styled_bank(styled)
    if "train" in stages:
        config = ClipConfig(
            steps=given.steps,
            refine_steps=given.refine_steps,
            batch=given.batch,
            learning_rate=given.learning_rate,
            seed=given.seed,
            wordings=wordings,
            warmup_steps=min(ClipConfig().warmup_steps, given.steps // 10),
        )
        train(bank, given.out, config, device, weights=weights)
    if "evaluate" in stages:
        facts = read_facts(given.out)
        figures = evaluate(weights, bank, given.video, given.frames, ClipConfig(**facts["config"]).words)
        write_card(weights, figures, bank, facts | {"heads": given.heads.name}, command)
        for name, one in figures.items():
            print(f"{name}: {one.overall:.1%} of {one.count}, balanced {one.balanced:.1%}")


if __name__ == "__main__":
    sys.exit(main())
