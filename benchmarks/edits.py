"""Measure the quality of edits: ``python benchmarks/edits.py RUN`` prints the table of docs/editing.md.

RUN is the folder of a finished Emo-Avatar run with edits. On the held-out clip of each edit four videos are scored
against the recorded frames: the edit; the same avatar without the edit; the unedited avatar with the edit's colours (by
the affine RGB map from the original to the edited reference frame); and the recorded frames, edited one at a time by
the editor that made the reference. ``--sheets DIR`` also writes one picture per edit for visual inspection.

``--likeness`` adds how far the edit is from the frames edited one at a time, as a share of how far the unedited avatar
is from them: by ST-LPIPS and by Gram matrices (which see strokes, wherever they are), both on VGG's first three stages.
No edit trains on VGG.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from emo_bench.methods.reference_editors import open_editor
from emo_bench.methods.training.frames import to_unit_range
from emo_bench.metrics import Captions, Settings, score
from emo_bench.metrics.conventions import Convention
from emo_bench.perceptual import PerceptualDistance
from emo_bench.pictures.reading import read_picture
from emo_bench.progress import track_progress
from emo_bench.runs.finished import is_finished, load_run
from emo_bench.runs.run_sources import run_sources
from emo_bench.runs.store import RENDER
from emo_bench.video.lossless import read_lossless

METRICS = ("flmd", "clip_d", "flicker")
COLUMNS = 8
WHOLE = Convention("all", "", (), ())
Frames = NDArray[np.uint8]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sheets", type=Path, help="folder for a picture of each edit")
    parser.add_argument("--clip", default="auto", help="CLIP model of CLIP-D")
    parser.add_argument("--likeness", action="store_true", help="two more columns: ST-LPIPS and Gram distance")
    given = parser.parse_args()
    made = sorted(manifest.parent for manifest in (given.run / "edit").glob("*/run.json"))
    edits = [edit for edit in made if is_finished(edit)]
    print(f"{given.run}, by `python benchmarks/edits.py`\n")
    print(
        "| edit | F-LMD: edit / unedited / recoloured / frame by frame | CLIP-D: edit / frame by frame "
        "| flicker: the same |" + (" to frame by frame: ST-LPIPS / Gram |" if given.likeness else "")
    )
    print("|---|---|---|---|" + ("---|" if given.likeness else ""))
    for edit in edits:
        videos = clips(given.run, edit)
        more = likeness(videos) if given.likeness else ""
        print(row(edit.name, videos, style_of(edit), given.clip) + more, flush=True)
        if given.sheets:
            given.sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet(edit, videos)).save(given.sheets / f"{edit.name}.png")


def style_of(edit: Path) -> dict[str, Any]:
    style: dict[str, Any] = load_run(edit).manifest["identity"]["style"]
    return style


def clips(run: Path, edit: Path) -> dict[str, Frames]:
    """Return the clip as recorded, edited, rendered without the edit, and edited frame by frame, uint8 [N, S, S, 3]."""
    frames, recorded, _ = run_sources(edit, WHOLE, METRICS)
    assert frames is not None and recorded is not None
    source = np.stack(list(recorded.open()))
    places = {int(i): n for n, i in enumerate(load_run(run).scores.index)}
    style, alone = style_of(edit), []
    editor = open_editor(style["editor"], style["editor_settings"])
    with track_progress(len(source), f"{edit.name}, frame by frame") as advance:
        for frame in source:
            alone.append(editor.edit(frame, style["instruction"], 0))
            advance(1)
    unedited = np.stack(list(read_lossless(run / RENDER, [places[int(i)] for i in frames.names])))
    return {
        "source": source,
        "edit": np.stack(list(frames.open())),
        "unedited": unedited,
        "recoloured": recoloured(unedited, *(picture(edit / name) for name in ("source.png", "reference.png"))),
        "alone": np.stack(alone),
    }


def picture(path: Path) -> Frames:
    return read_picture(path)


def recoloured(frames: Frames, before: Frames, after: Frames) -> Frames:
    """Apply to the frames the affine colour map that best maps one picture to the other."""

    def homogeneous(colours: Frames) -> NDArray[np.float64]:
        flat = colours.reshape(-1, 3).astype(np.float64)
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    colours, *_ = np.linalg.lstsq(homogeneous(before), after.reshape(-1, 3).astype(np.float64), rcond=None)
    made = homogeneous(frames) @ colours
    return made.clip(0, 255).round().astype(np.uint8).reshape(frames.shape)


def row(name: str, videos: dict[str, Frames], style: dict[str, Any], clip: str) -> str:
    settings = Settings(clip=clip, captions=Captions(style["source_caption"], style["target_caption"]))
    means = {
        kind: score(videos[kind], videos["source"], metrics=METRICS, settings=settings).mean(numeric_only=True)
        for kind in ("edit", "unedited", "recoloured", "alone")
    }
    flmd, clip_d, flicker = ({kind: float(mean[metric]) for kind, mean in means.items()} for metric in METRICS)
    return (
        f"| {name} | {flmd['edit']:.3f} / {flmd['unedited']:.3f} / {flmd['recoloured']:.3f} / {flmd['alone']:.3f} "
        f"(x{flmd['edit'] / flmd['unedited']:.2f}) | {clip_d['edit']:.3f} / {clip_d['alone']:.3f} "
        f"| {flicker['edit']:.2f} / {flicker['alone']:.2f} |"
    )


@torch.no_grad()
def likeness(videos: dict[str, Frames]) -> str:
    """Return one more cell: the distances of the edit to the frames edited one at a time over those of the unedited."""
    distance = PerceptualDistance.from_assets("stlpips-vgg-3", "cpu")
    sums = {"edit": np.zeros(2), "unedited": np.zeros(2)}
    for n in range(len(videos["alone"])):
        one = {kind: to_unit_range(videos[kind][n : n + 1].transpose(0, 3, 1, 2).copy()) for kind in (*sums, "alone")}
        wanted = gram_matrices(distance, one["alone"])
        for kind, total in sums.items():
            gap = gram_matrices(distance, one[kind]) - wanted
            total += (float(distance(one[kind], one["alone"])), float(gap.norm()))
    perceptual, gram = sums["edit"] / sums["unedited"]
    return f" {perceptual:.2f} / {gram:.2f} |"


def gram_matrices(distance: PerceptualDistance, image: Tensor) -> Tensor:
    """Return the Gram matrices of all stages of ``image [1, 3, R, R]`` in one vector, each a mean over places."""
    flat = [stage.flatten(2) for stage in distance.features(image)]
    return torch.cat([(each @ each.mT / each.shape[-1]).flatten() for each in flat])


def sheet(edit: Path, videos: dict[str, Frames]) -> Frames:
    """Save the reference frame and its edit, then frames as recorded, edited, and edited frame by frame."""
    chosen = np.linspace(0, len(videos["source"]) - 1, COLUMNS).astype(int)
    side = videos["source"].shape[1]
    first = [
        np.asarray(Image.fromarray(picture(edit / name)).resize((side, side), Image.Resampling.BOX))
        for name in ("source.png", "reference.png", "reference.png")
    ]
    rows = [
        np.concatenate([start, *videos[kind][chosen]], axis=1)
        for start, kind in zip(first, ("source", "edit", "alone"), strict=True)
    ]
    return np.concatenate(rows)


if __name__ == "__main__":
    main()
