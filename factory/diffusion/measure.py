"""Measure a pipeline's edits of held-out people: ``python -m factory.diffusion.measure --out diffusion``.

It writes the model card into the pipeline's folder: the accuracy of the small CLIP on painted edits, PSNR to the
rendering of each change by the studio, what "leave it as it is" changes, how far landmarks move, also beside
``styletransfer``, and how both guidances trade off.
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
from emo_bench.progress import track_progress
from emo_bench.system.endings import exit_code
from emo_bench.tracking.landmarks import Landmarker
from factory.clip.evaluation import accuracy, aligned_video_heads, style_classes
from factory.clip.painters import FIXED
from factory.clip.styles import find_style
from factory.diffusion.autoencoder import psnr_db, reconstructed
from factory.diffusion.bank import Bank, open_bank
from factory.diffusion.card import SHEET_FILE, write_card
from factory.diffusion.landmarks import distances_px, landmark_finder
from factory.diffusion.lineage import read_trainings
from factory.diffusion.pairs import Edit, edits_of
from factory.diffusion.pipeline import edited, load_pipeline
from factory.diffusion.rival import Editor, against_styletransfer, clip_d, told_change
from factory.diffusion.sheets import edit_sheet, held_out_people
from factory.diffusion.shots import STYLED
from factory.diffusion.wordings import instruction

KEEPING = (
    "bronze", "gold", "silver", "marble", "granite", "terracotta", "black-and-white", "comic", "hdr", "airbrush",
)  # fmt: skip
"""Styles that keep the drawing, so that landmarks should stay."""
TEXT_SCALES, IMAGE_SCALES = (1.5, 2.5, 4.0, 7.0), (1.0, 1.3, 1.7, 2.2)

SETTINGS = ("count", "steps", "text_scale", "image_scale")

Pictures = NDArray[np.uint8]


def measure(
    edit: Editor, vae: Any, bank: Bank, videos: dict[str, Pictures], count: int, seed: int = 0
) -> dict[str, Any]:
    """Return all figures but the trade-off of the guidances; ``count`` pictures for each style and each kind.

    Raises:
        UserError: the bank has nobody who is held out.
    """
    people = held_out_people(bank, count)
    if not len(people):
        raise UserError(f"{bank.folder} has nobody who is held out: render at least 16 people")
    model = ClipModel(find_clip(PORTRAITS))
    figures: dict[str, Any] = {"styles": style_figures(edit, model, people, seed)}
    figures |= {f"styles, {name}": style_figures(edit, model, heads, seed) for name, heads in videos.items()}
    figures["changes"] = change_figures(edit, bank, count, seed)
    figures["left as it is"] = untouched_figures(edit, vae, people)
    figures["landmarks"] = landmark_figures(edit, people, seed)
    with Landmarker() as landmarker:
        names = [name for name in FIXED if find_style(name).face]
        figures["styletransfer"] = against_styletransfer(edit, model, landmark_finder(landmarker), people, names, seed)
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


def change_figures(edit: Editor, bank: Bank, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Return by kind of change the mean PSNR to the studio's rendering of it, of the edit and of doing nothing.

    ``nearer`` is the share of edits that are nearer to the truth than the source is.
    """
    rng = np.random.default_rng(seed)
    figures = {}
    for kind, several in edits_of(bank, held_out=True).items():
        if kind in ("style", "none") or not several:
            continue
        chosen = [several[int(k)] for k in rng.permutation(len(several))[:count]]
        truth, sources = (bank.pictures(np.array(numbers)) for numbers in _both(chosen))
        texts = [instruction(kind, one.value, bank.rows[one.source].sex, rng, held_out=True) for one in chosen]
        made = edit(sources, texts)
        by_edit, by_nothing = psnr_db(made, truth), psnr_db(sources, truth)
        figures[kind] = {
            "psnr_db": float(by_edit.mean()),
            "psnr_of_nothing_db": float(by_nothing.mean()),
            "nearer": float((by_edit > by_nothing).mean()),
            "count": float(len(chosen)),
        }
    return figures


def untouched_figures(edit: Editor, vae: Any, people: Pictures) -> dict[str, float]:
    """Return the PSNR to the source after "leave it as it is", beside that of the autoencoder alone."""
    made = edit(people, ["leave it as it is"] * len(people))
    return {
        "psnr_db": float(psnr_db(made, people).mean()),
        "psnr_of_autoencoder_db": float(psnr_db(reconstructed(vae, people), people).mean()),
    }


def landmark_figures(edit: Editor, people: Pictures, seed: int) -> dict[str, float]:
    """Return the mean distance of the 68 landmarks between source and edit, in px at 256 px, for styles that keep them.

    Pictures in which MediaPipe finds no face are left out; ``found`` is the share of the others.
    """
    rng = np.random.default_rng(seed)
    distances: list[float] = []
    tried = 0
    with Landmarker() as landmarker:
        find = landmark_finder(landmarker)
        before = [find(person) for person in people]
        for style in KEEPING:
            made = edit(people, [instruction("style", style, "", rng) for _ in people])
            tried += len(made)
            distances += distances_px(find, before, made)
    return {"f_lmd_px": float(np.mean(distances)) if distances else float("nan"), "found": len(distances) / tried}


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


def _both(edits: Sequence[Edit]) -> tuple[list[int], list[int]]:
    return [one.result for one in edits], [one.source for one in edits]


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
    parser.add_argument("--count", type=int, default=6, help="people for each style, edits for each kind of change")
    parser.add_argument("--steps", type=int, default=20, help="DDIM steps of an edit")
    parser.add_argument("--text-scale", type=float, default=4.0)
    parser.add_argument("--image-scale", type=float, default=1.3)
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
    figures = measure(edit_at(given.text_scale, given.image_scale), pipeline.vae, bank, heads, given.count)
    if given.guidance:
        people = held_out_people(bank, given.count)
        figures["guidance"] = guidance_figures(edit_at, ClipModel(find_clip(PORTRAITS)), people)
    scales = given.text_scale, given.image_scale
    edit_sheet(weights / SHEET_FILE, pipeline, held_out_people(bank, 6), scales=scales, steps=given.steps)
    figures["settings"] = {name: getattr(given, name) for name in SETTINGS}
    write_card(weights, figures, command_of(given))


if __name__ == "__main__":
    sys.exit(main())
