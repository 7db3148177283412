"""Figures 3 and 6 of the paper from finished runs: latent interpolation, and held-out side views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench import actors
from emo_bench.ablation.runs import VariantResult
from emo_bench.pictures.reading import read_picture
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.store import RENDER
from emo_bench.video.lossless import read_lossless
from emo_bench.video.strips import Strip, save_strips
from protocols.ablation import Ablation
from protocols.splitting import parse_frames

INTERPOLATION = "interpolation.png"
VIEWS_A_SIDE = 4
VIEWS_APART_DEG = 1.0


def interpolation_strip(run: Path, label: str) -> Strip | None:
    """Interpolate a run's generator between its outermost pivots (figure 3); None if its fit has only one pivot."""
    path = run / INTERPOLATION
    if not path.is_file():
        return None
    require_unchanged(run, read_manifest(run), [INTERPOLATION])
    pixels = read_picture(path)
    side = pixels.shape[0]
    return Strip(label, [pixels[:, x : x + side] for x in range(0, pixels.shape[1], side)])


def side_views(yaw_deg: NDArray[np.floating], count: int = VIEWS_A_SIDE) -> list[int]:
    """Choose ``count`` views on either side: the largest turns, some distance from each other in time and angle.

    Args:
        yaw_deg: ``[N]``, the yaw of the held-out frames in order; NaN is skipped.

    Returns:
        Positions in ascending order of yaw; fewer if the clip is short or the head hardly turns.
    """
    apart = max(len(yaw_deg) // (4 * count), 1)
    chosen: list[int] = []

    def new(position: int) -> bool:
        return all(
            abs(position - other) >= apart and abs(yaw_deg[position] - yaw_deg[other]) >= VIEWS_APART_DEG
            for other in chosen
        )

    for sign in (-1.0, 1.0):
        turned = [int(i) for i in np.argsort(-sign * yaw_deg) if np.isfinite(yaw_deg[i])]
        enough = len(chosen) + count
        for position in turned:
            if len(chosen) < enough and new(position):
                chosen.append(position)
    return sorted(chosen, key=lambda position: float(yaw_deg[position]))


def side_view_strips(runs: Sequence[tuple[str, Path]]) -> tuple[list[Strip], list[str]]:
    """Return held-out side views as recorded and as each run renders them (figure 6), and a heading for each view.

    Args:
        runs: label and folder of finished runs of one actor and split.
    """
    manifest = read_manifest(runs[0][1])
    capture = actors.load(manifest["identity"]["actor"]["name"])
    test = parse_frames(manifest["split"]["test"])
    yaw = capture.track.yaw_pitch_deg()[np.asarray(test), 0]
    positions = side_views(yaw)
    size = manifest["identity"]["resolution_px"]
    recorded = list(capture.frames([test[p] for p in positions], size=size))
    strips = [Strip("recorded", recorded)]
    for label, folder in runs:
        require_unchanged(folder, read_manifest(folder), [RENDER])
        strips.append(Strip(label, list(read_lossless(folder / RENDER, positions))))
    return strips, [f"{yaw[p]:+.0f}°" for p in positions]


def draw_figures(ablation: Ablation, results: Sequence[VariantResult], out: Path) -> list[Path]:
    """Draw the ablation's figures from the variants that ran, into ``out``; return the files.

    A figure needs at least two variants, because it compares its rows. With fewer, the figure is not drawn, and an
    older file of it is removed.
    """
    runs = {result.variant.name: result for result in results if result.run is not None}
    drawn = []
    for figure in ablation.figure:
        path = out / f"{figure.id}.png"
        shown = [
            (figure.labels.get(name, runs[name].variant.title), runs[name].run)
            for name in figure.variants
            if name in runs
        ]
        places = [(label, folder) for label, folder in shown if folder is not None]
        if figure.kind == "interpolation":
            strips = [strip for label, run in places if (strip := interpolation_strip(run, label)) is not None]
            headings: list[str] = []
        else:
            strips, headings = side_view_strips(places) if len(places) > 1 else ([], [])
        if len(strips) > 1:
            save_strips(path, strips, headings)
            drawn.append(path)
        else:
            path.unlink(missing_ok=True)
    return drawn
