"""Try settings of an edit: ``python benchmarks/edit_trials.py RUN --style comic --set steps=80`` prints one row.

RUN is the folder of a finished Emo-Avatar run. The edit is made in a folder of its own and rendered on the last 75
frames, the clip of protocol ``editing``. There is no report: a trial takes a third of the time of ``emo-bench run``.
Printed are CLIP-D of the edit, of its reference and of frames edited one at a time; F-LMD, its ratio to the avatar
before the edit, and that of the reference; the Gram distance of ``benchmarks/edits.py --likeness``, on every 12th
frame; and the processor time of the edit. ``--sheet FILE.png`` shows frames as recorded, before and after the edit, and
the difference.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from edits import gram_matrices
from numpy.typing import NDArray
from PIL import Image

from emo_bench.actors.capture import Capture, resize_area
from emo_bench.actors.library import load
from emo_bench.methods.interface import EditStyle, Method, Workspace
from emo_bench.methods.reference_editors import open_editor
from emo_bench.methods.training.frames import to_unit_range
from emo_bench.metrics import Captions, Settings, score
from emo_bench.perceptual import PerceptualDistance
from emo_bench.pictures.reading import read_picture
from emo_bench.runs.editing import open_method
from protocols.frame_lists import parse_frames
from protocols.styles import load_style

CLIP_FRAMES, LOOKED_AT, COLUMNS = 75, 12, 7
Frames = NDArray[np.uint8]


def main() -> None:
    """Print the row of one trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--style", required=True, help="name or TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the edit")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    chosen = load_style(given.style)
    style = EditStyle(**{key: value for key, value in dict(chosen).items() if key != "title"})
    watched, manifest = open_method(given.run, "cpu")
    base, capture = watched.inner, load(manifest["identity"]["actor"]["name"])
    clip = list(range(len(capture) - CLIP_FRAMES, len(capture)))
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(each.split("=", 1) for each in given.set)
        workspace = dataclasses.replace(base.workspace, folder=Path(folder), settings=settings)
        edited, seconds = edit(base, style, workspace, capture, parse_frames(manifest["split"]["train"]))
        pictures = [read_picture(Path(folder) / f"{name}.png") for name in ("source", "reference")]
        videos = {
            "source": np.stack(list(capture.frames(clip, size=base.resolution_px))),
            "before": np.stack(list(base.render(capture, clip))),
            "edit": np.stack(list(edited.render(capture, clip))),
        }
    print(row(given, style, videos, [resize_area(each, base.resolution_px) for each in pictures], seconds))
    if given.sheet:
        Image.fromarray(sheet(videos)).save(given.sheet)


def edit(
    base: Method, style: EditStyle, workspace: Workspace, capture: Capture, train: Sequence[int]
) -> tuple[Method, float]:
    """Make the edit; return it and the seconds of processor time."""
    base.load()
    start = time.process_time()
    edited = base.edit(style, workspace)
    edited.fit(capture.restricted(train), train)
    return edited, time.process_time() - start


def row(
    given: argparse.Namespace, style: EditStyle, videos: dict[str, Frames], pictures: list[Frames], seconds: float
) -> str:
    """Return the row of the trial; ``pictures`` are the reference's frame and the reference, at the avatar's size."""
    source, reference = (picture[None] for picture in pictures)
    shown = videos["source"][::LOOKED_AT]
    editor = open_editor(style.editor, style.editor_settings)
    alone = np.stack([editor.edit(frame, style.instruction, 0) for frame in shown])
    clip_d, flmd = measured(videos["edit"], videos["source"], style)
    before = measured(videos["before"], videos["source"], style)[1]
    of_reference, of_alone = measured(reference, source, style), measured(alone, shown, style)
    return (
        f"| {style.name} | {' '.join(given.set) or 'default'} "
        f"| {clip_d:.3f} / {of_reference[0]:.3f} / {of_alone[0]:.3f} "
        f"| {flmd:.3f} (x{flmd / before:.2f}) / {of_reference[1]:.2f} "
        f"| {gram(videos['edit'][::LOOKED_AT], videos['before'][::LOOKED_AT], alone):.2f} | {seconds:.0f} s |"
    )


def measured(frames: Frames, source: Frames, style: EditStyle) -> tuple[float, float]:
    """Return CLIP-D and F-LMD."""
    settings = Settings(captions=Captions(style.source_caption, style.target_caption))
    means = score(frames, source, metrics=("clip_d", "flmd"), settings=settings).mean(numeric_only=True)
    return float(means["clip_d"]), float(means["flmd"])


@torch.no_grad()
def gram(frames: Frames, before: Frames, alone: Frames) -> float:
    """Return the distance of the edit to the frames edited one at a time over that of the avatar before the edit."""
    distance = PerceptualDistance.from_assets("stlpips-vgg-3", "cpu")

    def matrices(video: Frames) -> list[torch.Tensor]:
        images = to_unit_range(video.transpose(0, 3, 1, 2).copy())
        return [gram_matrices(distance, image[None]) for image in images]

    wanted = matrices(alone)
    far, near = (
        sum(float((a - b).norm()) for a, b in zip(matrices(video), wanted, strict=True)) for video in (before, frames)
    )
    return near / far


def sheet(videos: dict[str, Frames]) -> Frames:
    """Return rows of frames as recorded, before and after the edit, and twice the difference around grey."""
    chosen = np.linspace(0, CLIP_FRAMES - 1, COLUMNS).astype(int)
    rows = [videos[kind][chosen] for kind in ("source", "before", "edit")]
    change = np.clip(128 + 2 * (rows[2].astype(int) - rows[1]), 0, 255).astype(np.uint8)
    return np.concatenate([np.concatenate(list(each), axis=1) for each in (*rows, change)])


if __name__ == "__main__":
    main()
