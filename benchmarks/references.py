"""Measure the reference pictures of the styles: ``python benchmarks/references.py --actor 1 --actor 2``.

For each style of the whole picture and each actor, training frames are edited by the style's editor, at the size at
which avatars are edited (128 px). Printed are CLIP-D, and F-LMD against the frame before the edit: of what the editor
makes, and with the held face, on which the edit of an avatar trains if the editor is ``styletransfer``.
``--styles DIR`` takes the style files of a folder, for a comparison with changed ones. ``--sheets DIR`` writes a
picture for each style: the frames, what the editor makes, and the held references.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emo_avatar.held_face import with_held_face
from emo_bench.actors.capture import Capture, resize_area
from emo_bench.actors.library import load
from emo_bench.methods.reference_editors import EDITORS, open_editor
from emo_bench.metrics import Captions, Settings, score
from protocols.styles import FOLDER, StyleFile, load_style

Frames = NDArray[np.uint8]
SIZE_PX = 128


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actor", action="append", required=True)
    parser.add_argument("--frames", type=int, default=4, help="frames of each actor, from its first half")
    parser.add_argument("--style", action="append", help="only these")
    parser.add_argument("--styles", type=Path, default=FOLDER, help="folder of style files")
    parser.add_argument("--sheets", type=Path)
    given = parser.parse_args()
    print("| style | actor | CLIP-D: editor / held | F-LMD: editor / held |\n|---|---|---|---|")
    for path in sorted(given.styles.glob("*.toml")):
        style = load_style(str(path))
        if not EDITORS[style.editor].only_restyles or (given.style and style.name not in given.style):
            continue
        rows: list[Frames] = []
        for actor in given.actor:
            capture = load(actor)
            chosen = np.linspace(0, len(capture) // 2, given.frames).astype(int).tolist()
            before, made, held = references(capture, chosen, style)
            cells = [measured(each, before, style) for each in (made, held)]
            clip_d, flmd = zip(*cells, strict=True)
            print(
                f"| {style.name} | {actor} | {clip_d[0]:.3f} / {clip_d[1]:.3f} | {flmd[0]:.2f} / {flmd[1]:.2f} |",
                flush=True,
            )
            rows += [np.concatenate(list(each), axis=1) for each in (before, made, held)]
        if given.sheets:
            given.sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(rows)).save(given.sheets / f"{style.name}.png")


def references(capture: Capture, chosen: list[int], style: StyleFile) -> tuple[Frames, Frames, Frames]:
    """Return frames before the edit, as the editor edits them, and with the held face, uint8 ``[N, 128, 128, 3]``."""
    editor = open_editor(style.editor, style.editor_settings)
    before: list[NDArray[np.uint8]] = []
    made: list[NDArray[np.uint8]] = []
    held: list[NDArray[np.uint8]] = []
    for index, frame in zip(chosen, capture.frames(chosen), strict=True):
        edited = editor.edit(frame, style.instruction, 0)
        parts = (frame, edited, with_held_face(edited, frame, capture.track.landmarks68[index]))
        for kept, picture in zip((before, made, held), parts, strict=True):
            kept.append(resize_area(picture, SIZE_PX))
    return np.stack(before), np.stack(made), np.stack(held)


def measured(frames: Frames, before: Frames, style: StyleFile) -> tuple[float, float]:
    """Return CLIP-D and F-LMD in px at 256 px; a frame without a face does not count."""
    settings = Settings(captions=Captions(style.source_caption, style.target_caption))
    means = score(frames, before, metrics=("clip_d", "flmd"), settings=settings).mean(numeric_only=True)
    return float(means["clip_d"]), float(means["flmd"])


if __name__ == "__main__":
    main()
