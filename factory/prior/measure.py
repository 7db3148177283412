"""Measure a prior and write its model card: ``python -m factory.prior.measure --prior FILE --images BANK.npy``.

Writes to ``--out`` the generator alone (float16), ``NAME.json`` with every number, and ``NAME.md``, the model card;
writes to ``--pictures`` the sheets that the card shows. PTI is run with the settings of the ``cpu`` profile, from the
prior and from an untrained generator of the same size, with the same number of steps.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from emo_avatar.checkpoints import load_stylegan2, save_stylegan2
from emo_avatar.config import EmoAvatarConfig
from emo_avatar.initialization import aligned_heads, inversion_settings
from emo_avatar.inversion import InversionConfig, InversionResult, Perceptual, extreme_frames, invert
from emo_avatar.stylegan2 import Generator
from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.perceptual import perceptual_loss
from emo_bench.progress import track_progress
from emo_bench.system.endings import exit_code
from factory.prior.bank import ImageBank, open_bank
from factory.prior.card import write_model_card
from factory.prior.frechet import FrechetJudge

SAMPLES = 100
SHEET_SIDE = 12
CELL_PX = 64
INTERPOLATION_STEPS = 9
RANDOM_PAIRS = 3
MAX_PICTURE_BYTES = 400_000


@dataclass(frozen=True)
class PtiFigures:
    """Mean perceptual distance of one actor's pivots after projection and after tuning, by starting point."""

    actor: str
    prior_projected: float
    prior_tuned: float
    untrained_projected: float
    untrained_tuned: float

    @property
    def reduction(self) -> float:
        """Return by which share the prior's distance after tuning is below that of the untrained generator."""
        return 1.0 - self.prior_tuned / self.untrained_tuned


def cpu_inversion() -> InversionConfig:
    """Return the settings of PTI in the ``cpu`` profile."""
    return inversion_settings(EmoAvatarConfig())


def untrained_like(generator: Generator, seed: int = 0) -> Generator:
    """Create an untrained generator of the same sizes."""
    torch.manual_seed(seed)
    return Generator(generator.config).eval()


def extreme_crops(actor: str, size_px: int) -> NDArray[np.uint8]:
    """Return the aligned heads that few-shot PTI would use, ordered by yaw, ``[4, S, S, 3]``."""
    capture = actors.load(actor)
    poses = capture.track.yaw_pitch_deg()
    frames = np.array(extreme_frames(poses, capture.valid_indices.tolist()))
    frames = frames[np.argsort(poses[frames, 0])]
    # Frames are read in order of time; the crops are sorted by yaw again.
    order = np.argsort(frames)
    crops = aligned_heads(capture, frames[order].tolist(), size_px)
    return np.asarray(crops[np.argsort(order)])


def run_pti(
    generator: Generator, crops: NDArray[np.uint8], settings: InversionConfig, perceptual: Perceptual
) -> tuple[InversionResult, float, float]:
    """Invert crops ``[4, S, S, 3]``; also return the mean distances after projection and after tuning."""
    targets = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    numbers: list[float] = []
    result = invert(
        generator, targets, settings, perceptual, seed=0, on_step=lambda **step: numbers.append(step["perceptual"])
    )
    with torch.no_grad():
        tuned = float(perceptual(result.reconstructions, targets).mean())
    return result, numbers[settings.w_steps - 1], tuned


@torch.no_grad()
def interpolated(result: InversionResult) -> Tensor:
    """Generate images between the pivots of minimum and maximum yaw, ``[INTERPOLATION_STEPS, 3, R, R]``."""
    share = torch.linspace(0, 1, INTERPOLATION_STEPS)[:, None, None]
    ws = result.pivots[:1].lerp(result.pivots[-1:], share)
    return result.generator.synthesis(ws)


@torch.no_grad()
def random_interpolations(generator: Generator) -> list[Tensor]:
    """Generate rows of images between two random w, each ``[INTERPOLATION_STEPS, 3, R, R]``."""
    rng = torch.Generator().manual_seed(2)
    rows = []
    for _ in range(RANDOM_PAIRS):
        ends = generator.mapping(torch.randn(2, generator.config.z_dim, generator=rng))
        share = torch.linspace(0, 1, INTERPOLATION_STEPS)[:, None, None]
        rows.append(generator.synthesis(ends[:1].lerp(ends[1:], share)))
    return rows


@torch.no_grad()
def samples(generator: Generator) -> Tensor:
    """Generate ``SAMPLES`` images of random latents without truncation, ``[N, 3, R, R]``."""
    z = torch.randn(SAMPLES, generator.config.z_dim, generator=torch.Generator().manual_seed(1))
    return torch.cat([generator(part) for part in z.split(20)])


def save_picture(rows: Sequence[Tensor], path: Path, cell_px: int = CELL_PX) -> None:
    """Save rows of images ``[N, 3, R, R]`` in [-1, 1] as a palette PNG of at most `MAX_PICTURE_BYTES`.

    Raises ValueError if it is still larger with 32 colours.
    """
    from PIL import Image

    strips = []
    for row in rows:
        small = F.interpolate(row.clamp(-1, 1), size=(cell_px, cell_px), mode="bilinear", antialias=True)
        strips.append(torch.cat(list(small), dim=2))
    sheet = ((torch.cat(strips, dim=1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    for colours in (256, 128, 64, 32):
        buffer = BytesIO()
        Image.fromarray(sheet).quantize(colours).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_PICTURE_BYTES:
            path.write_bytes(buffer.getvalue())
            return
    raise ValueError(f"{path.name} is {buffer.tell()} bytes with 32 colours")


def measure_actors(generator: Generator, names: Sequence[str]) -> tuple[list[PtiFigures], list[Tensor]]:
    """Run PTI of each actor from the prior and from an untrained generator; return figures and interpolation rows.

    Rows are made only of bundled actors: a real person is measured but not shown, because a card's pictures are
    published.
    """
    shown = {actor.name for actor in actors.list_actors() if actor.bundled}
    settings = cpu_inversion()
    perceptual = perceptual_loss(EmoAvatarConfig().perceptual)
    figures, rows = [], []
    with track_progress(2 * len(names), "prior: PTI") as advance:
        for name in names:
            crops = extreme_crops(name, generator.config.img_resolution)
            ours, projected, tuned = run_pti(generator, crops, settings, perceptual)
            advance(1, perceptual=tuned)
            theirs, start, end = run_pti(untrained_like(generator), crops, settings, perceptual)
            advance(1, perceptual=end)
            figures.append(PtiFigures(name, projected, tuned, start, end))
            if name in shown:
                rows += [interpolated(ours), interpolated(theirs)]
    return figures, rows


def measure_frechet(generator: Generator, bank: ImageBank) -> dict[str, float | int]:
    """Return the prior's distance to held-out identities, with those of training images and of an untrained generator.

    Raises UserError if it cannot be measured.
    """
    obstacle = FrechetJudge.obstacle(bank)
    if obstacle:
        raise UserError(f"the Frechet distance cannot be measured: {obstacle}")
    judge = FrechetJudge(bank, "cpu")
    return {
        "prior": judge.distance(generator),
        "training_images": judge.distance_of_training(bank),
        "untrained": judge.distance(untrained_like(generator)),
        "images": judge.count,
    }


def measure(
    prior: Path, bank: ImageBank, names: Sequence[str], out: Path, pictures: Path, good: int | None = None
) -> dict[str, Any]:
    """Measure, write all files, and return the figures; ``good`` is the number of good `SAMPLES`, counted by eye.

    Raises UserError if anything needed is missing.
    """
    checkpoint = load_stylegan2(prior)
    generator = checkpoint.generator.eval().requires_grad_(False)
    if "config" not in checkpoint.metadata:
        raise UserError(f"{prior} was not written by factory.prior.train: it has no record of its training.")
    name = prior.stem
    for folder in (out, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    frechet = measure_frechet(generator, bank)
    pti, between = measure_actors(generator, names)
    sheets = {kind: pictures / f"{name}-{kind}.png" for kind in ("supply", "samples", "interpolation")}
    chosen = np.linspace(0, len(bank.images_u8) - 1, SHEET_SIDE**2).astype(np.int64)
    save_picture(bank.images(chosen, "cpu").split(SHEET_SIDE), sheets["supply"])
    save_picture(samples(generator).split(10), sheets["samples"])
    save_picture([*random_interpolations(generator), *between], sheets["interpolation"])
    save_stylegan2(out / f"{name}.safetensors", generator, None, dict(checkpoint.metadata), half=True)
    figures: dict[str, Any] = {
        "command": f"python -m factory.prior.measure --actors {','.join(names)}",
        "perceptual": EmoAvatarConfig().perceptual,
        "pti_steps": [cpu_inversion().w_steps, cpu_inversion().tune_steps],
        "frechet": frechet,
        "pti": [{**asdict(row), "reduction": row.reduction} for row in pti],
        "random_pairs": RANDOM_PAIRS,
        "good": good,
        "pictures": {kind: os.path.relpath(path, out) for kind, path in sheets.items()},
    }
    (out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_model_card(out / f"{name}.md", generator, checkpoint.metadata, figures)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="python -m factory.prior.measure", description=__doc__)
    parser.add_argument("--prior", type=Path, required=True, help="portraits-R.safetensors of a training")
    parser.add_argument("--images", type=Path, required=True, help="the bank it was trained on")
    parser.add_argument("--actors", default="1,2,3,4", help="actors for PTI, separated by commas")
    parser.add_argument("--out", type=Path, default=root / "emo_avatar" / "weights")
    parser.add_argument("--pictures", type=Path, default=root / "docs" / "images")
    parser.add_argument("--good", type=int, help=f"number of the {SAMPLES} samples without a defect, counted by you")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    return exit_code(lambda: _run(given))


def _run(given: argparse.Namespace) -> str:
    resolution = load_stylegan2(given.prior).generator.config.img_resolution
    bank = open_bank(given.images, resolution)
    figures = measure(given.prior, bank, given.actors.split(","), given.out, given.pictures, given.good)
    return json.dumps(figures, indent=1)


if __name__ == "__main__":
    sys.exit(main())
