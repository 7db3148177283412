"""Measure a pipeline's edits of held-out people: ``python -m factory.diffusion.measure --out diffusion``.

It writes the model card into the pipeline's folder: the accuracy of the small CLIP on painted edits and on attributes,
the distance to the studio's rendering of each change, what "leave it as it is" changes, how far landmarks move, also
beside ``styletransfer``, and how both guidances trade off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.clip.model import PORTRAITS, ClipModel, find_clip
from emo_bench.errors import UserError
from emo_bench.methods.pix2pix_models import PORTRAITS_SETTINGS
from emo_bench.progress import track_progress
from emo_bench.system.endings import exit_code
from emo_bench.tracking.landmarks import Landmarker
from factory.clip.evaluation import accuracy, aligned_video_heads, style_classes
from factory.clip.painters import FIXED
from factory.clip.styles import find_style
from factory.diffusion.autoencoder import psnr_db, reconstructed
from factory.diffusion.bank import Bank, open_bank
from factory.diffusion.card import SHEET_FILE, write_card
from factory.diffusion.landmarks import landmark_finder
from factory.diffusion.lineage import read_trainings
from factory.diffusion.pipeline import edited, load_pipeline
from factory.diffusion.rival import Editor, against_styletransfer, clip_d, told_change
from factory.diffusion.sheets import edit_sheet, held_out_people
from factory.diffusion.shots import STYLED
from factory.diffusion.truth import change_figures, landmark_figures, recognised_figures
from factory.diffusion.wordings import instruction

TEXT_SCALES, IMAGE_SCALES = (1.2, 1.8, 2.7, 4.0), (1.0, 1.3, 1.7, 2.2)
SETTINGS = ("count", "changes", "steps", "text_scale", "image_scale")

Pictures = NDArray[np.uint8]


def measure(
    edit: Editor, vae: Any, bank: Bank, videos: dict[str, Pictures], count: int, changes: int, seed: int = 0
) -> dict[str, Any]:
    """Return all figures but the trade-off of the guidances.

    ``count`` pictures for each style, four times as many for each value that CLIP recognises, and at most ``changes``
    edits of each kind of change.

    Raises:
        UserError: the bank has nobody who is held out.
    """
    people = held_out_people(bank, count)
    if not len(people):
        raise UserError(f"{bank.folder} has nobody who is held out: render at least 16 people")
    model = ClipModel(find_clip(PORTRAITS))
    figures: dict[str, Any] = {"styles": style_figures(edit, model, people, seed)}
    figures |= {f"styles, {name}": style_figures(edit, model, heads, seed) for name, heads in videos.items()}
    figures["changes"] = change_figures(edit, bank, changes, seed)
    figures["recognised"] = recognised_figures(edit, model, bank, 4 * count, seed)
    figures["left as it is"] = untouched_figures(edit, vae, held_out_people(bank, changes))
    with Landmarker() as landmarker:
        find = landmark_finder(landmarker)
        figures["landmarks"] = landmark_figures(edit, bank, find, count, seed)
        names = [name for name in FIXED if find_style(name).face]
        figures["styletransfer"] = against_styletransfer(edit, model, find, people, names, seed)
    return figures


def style_figures(edit: Editor, model: ClipModel, people: Pictures, seed: int) -> dict[str, Any]:
    """Return the zero-shot accuracy over all styles on edits by held-out wordings."""
    rng = np.random.default_rng(seed)
    embeddings, truth = [], []
    with track_progress(len(STYLED) * len(people), "portraits-diffusion: styles") as advance:
        for style in STYLED:
            made = edit(people, [instruction("style", style, "", rng, held_out=True) for _ in people])
            embeddings.append(model.of_frames(made))
            truth += [style] * len(people)
            advance(len(people))
    return asdict(accuracy(np.concatenate(embeddings), style_classes(model), truth))


def untouched_figures(edit: Editor, vae: Any, people: Pictures) -> dict[str, float]:
    """Return the PSNR to the source after "leave it as it is", beside that of the autoencoder alone."""
    made = edit(people, ["leave it as it is"] * len(people))
    return {
        "psnr_db": float(psnr_db(made, people).mean()),
        "psnr_of_autoencoder_db": float(psnr_db(reconstructed(vae, people), people).mean()),
    }


def guidance_figures(
    edit_at: Callable[[float, float], Editor], model: ClipModel, people: Pictures, style: str = "marble"
) -> list[dict[str, float]]:
    """Return, for each pair of scales, CLIP-D and the source's likeness: the two axes of InstructPix2Pix's figure 8.

    CLIP-D is the cosine between the changes of picture and caption, likeness that between the pictures.
    """
    told = told_change(model, style)
    sources, rows = model.of_frames(people), []
    for text_scale in TEXT_SCALES:
        for image_scale in IMAGE_SCALES:
            edit = edit_at(text_scale, image_scale)
            made = edit(people, [f"turn the photo into a {style} statue"] * len(people))
            embedded = model.of_frames(made)
            likeness = float((embedded * sources).sum(axis=1).mean())
            row = {"text_scale": text_scale, "image_scale": image_scale, "likeness": likeness}
            rows.append(row | {"clip_d": clip_d(sources, embedded, told)})
    return rows


def command_of(given: argparse.Namespace) -> str:
    """Return the command of a measurement for its card; a path outside of the working directory is its name alone."""
    weights = f" --weights {_shown(given.weights)}" if given.weights else ""
    options = "".join(f" --{name.replace('_', '-')} {getattr(given, name):g}" for name in SETTINGS)
    guidance = " --guidance" if given.guidance else ""
    videos = f" --video {' '.join(sorted(video.name for video in given.video))}" if given.video else ""
    return f"python -m factory.diffusion.measure --out {_shown(given.out)}{weights}{options}{guidance}{videos}"


def _shown(path: Path) -> str:
    return path.name if path.is_absolute() else path.as_posix()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    given = command_line().parse_args(arguments)
    return exit_code(lambda: _run(given))


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m factory.diffusion.measure", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training, with its bank")
    parser.add_argument("--weights", type=Path, help="folder of the pipeline; default: OUT/portraits-diffusion")
    parser.add_argument(
        "--count", type=int, default=6, help="people for each style; four times as many for each value that CLIP tells"
    )
    parser.add_argument("--changes", type=int, default=200, help="edits of each kind of change, at most")
    usual = PORTRAITS_SETTINGS
    parser.add_argument("--steps", type=int, default=usual.steps, help="DDIM steps of an edit")
    parser.add_argument("--text-scale", type=float, default=usual.text_scale)
    parser.add_argument("--image-scale", type=float, default=usual.image_scale)
    parser.add_argument("--guidance", action="store_true", help="measure the trade-off of both guidances too")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="videos of real people to measure on")
    return parser


def _run(given: argparse.Namespace) -> None:
    weights = given.weights or given.out / "portraits-diffusion"
    bank = open_bank(given.out / "bank")
    if not read_trainings(weights):
        raise UserError(
            f"{weights} does not tell its trainings: write it by python -m factory.diffusion --stage export"
        )
    pipeline = load_pipeline(weights)

    def edit_at(text_scale: float, image_scale: float) -> Editor:
        return lambda pictures, texts: edited(pipeline, pictures, texts, given.steps, text_scale, image_scale)

    size_px = pipeline.vae.config.sample_size
    heads = {video.name: aligned_video_heads(video, given.count, size_px) for video in given.video}
    figures = measure(
        edit_at(given.text_scale, given.image_scale), pipeline.vae, bank, heads, given.count, given.changes
    )
    if given.guidance:
        people = held_out_people(bank, given.count)
        figures["guidance"] = guidance_figures(edit_at, ClipModel(find_clip(PORTRAITS)), people)
    scales = given.text_scale, given.image_scale
    edit_sheet(weights / SHEET_FILE, pipeline, held_out_people(bank, 6), scales=scales, steps=given.steps)
    figures["settings"] = {name: getattr(given, name) for name in SETTINGS}
    figures["settings"]["people"] = len(
        {row.person for row, kept in zip(bank.rows, bank.held_out, strict=True) if kept}
    )
    write_card(weights, figures, command_of(given))


if __name__ == "__main__":
    sys.exit(main())
