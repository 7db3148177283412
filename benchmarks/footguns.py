"""Compare conventions on the same frames: ``python benchmarks/footguns.py RUN`` prints the tables of docs/footguns.md.

RUN is the folder of a finished run. Every line scores the run's own frames in two ways and shows both numbers. With
``--projects``, only the second table is printed: the run's person as a project would render it, on white by a soft
matte, with a dark square in the background, scored by the rules of several projects.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from emo_bench.metrics.conventions import Convention
from emo_bench.metrics.preparing import blended, lay_on, rounded
from emo_bench.metrics.registry import metric_class
from emo_bench.runs.run_sources import run_sources

FRAMES = 100
SOFTNESS_PX = 1.5


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--projects", action="store_true", help="print only the second table")
    given = parser.parse_args()
    run = given.run
    whole = Convention("all", "", (), (), background="white")
    sources = run_sources(run, whole, ("psnr", "ssim"))
    step = max(len(sources[0]) // FRAMES, 1)  # type: ignore[arg-type]
    frames, reference, masks = (np.stack(list(source.open())[::step]) for source in sources)  # type: ignore[union-attr]
    inside = masks[..., 0] > 127
    print(f"{len(frames)} frames of {run}, {frames.shape[2]} px, {inside.mean():.0%} foreground\n")
    if not given.projects:
        show("two ways to score the same frames", lines(frames, reference, inside))
    show("rules of several projects", of_projects(frames, reference, inside))


def show(head: str, rows: list[tuple[str, float, float]]) -> None:
    print(f"| {head} | one | the other |")
    print("|---|---|---|")
    for title, one, other in rows:
        print(f"| {title} | {one:.4g} | {other:.4g} |")
    print()


def of_projects(f: np.ndarray, r: np.ndarray, inside: np.ndarray) -> list[tuple[str, float, float]]:
    """Return each line: its title and its two numbers."""
    masks = np.stack([cv2.GaussianBlur(255.0 * mask, (0, 0), SOFTNESS_PX) for mask in inside])
    rendered = rounded(blended(f, masks, "white"))
    soft = rounded(blended(r, masks, "white"))
    cut = [lay_on(part, masks >= 128, "white") for part in (rendered, r)]
    hard = cut[1]
    spoiled = rendered.copy()
    side = f.shape[1] // 8
    spoiled[:, :side, :side] = 20
    spoiled_cut = lay_on(spoiled, masks >= 128, "white")
    psnr = partial(mean_of, "psnr")
    return [
        ("PSNR on white, dark square in the background: rendering as it is / cut by the reference's mask",
            psnr(spoiled, soft), psnr(spoiled_cut, hard)),
        ("PSNR on white: soft mask / hard mask, both behind the reference", psnr(rendered, soft), psnr(rendered, hard)),
        ("PSNR on white: reference alone, soft mask / both cut by the hard mask", psnr(rendered, soft), psnr(*cut)),
        ("PSNR: all channels / mean of the channels' PSNR (`psnr-channels`)", psnr(f, r),
            mean_of("psnr-channels", f, r)),
        ("SSIM on white: windows inside / zeros around the frame (`ssim-padded`)", mean_of("ssim", rendered, soft),
            mean_of("ssim-padded", rendered, soft)),
        ("SSIM as filmed: windows inside / zeros around the frame (`ssim-padded`)", mean_of("ssim", f, r),
            mean_of("ssim-padded", f, r)),
        ("SSIM as filmed: windows inside / reflected border (`ssim-reflect`)", mean_of("ssim", f, r),
            mean_of("ssim-reflect", f, r)),
    ]  # fmt: skip


def mean_of(metric: str, frames: np.ndarray, reference: np.ndarray, region: np.ndarray | None = None) -> float:
    from emo_bench.metrics import Scorer

    scorer = Scorer((metric,), region="full frame" if region is None else "foreground")
    scorer.add(frames, reference, region=region)
    table = scorer.table()
    name = table.columns[0]
    return metric_class(name).aggregate(table[name].to_numpy())


def resized(frames: np.ndarray, size: int, how: int) -> np.ndarray:
    return np.stack([cv2.resize(frame, (size, size), interpolation=how) for frame in frames])


def lines(f: np.ndarray, r: np.ndarray, inside: np.ndarray) -> list[tuple[str, float, float]]:
    """Return each line: its title and its two numbers."""
    white = [lay_on(part, inside, "white") for part in (f, r)]
    double = [resized(part, 2 * f.shape[1], cv2.INTER_CUBIC) for part in (f, r)]
    small = {
        how: [resized(part, f.shape[1] * 5 // 8, how) for part in (f, r)] for how in (cv2.INTER_AREA, cv2.INTER_LINEAR)
    }
    shifted = np.roll(f, 1, axis=2)
    uniform = np.mean([structural_similarity(b, a, channel_axis=2, data_range=255) for a, b in zip(f, r, strict=True)])
    wrapped = np.mean([10 * np.log10(255**2 / np.mean((a - b) ** 2)) for a, b in zip(f, r, strict=True)])
    grey = np.repeat(np.round(255 * rgb2gray(f)).astype(np.uint8)[..., None], 3, axis=-1)
    rows: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("PSNR: mean of frames / of the mean MSE", lambda: mean_of("psnr", f, r), lambda: mean_of("psnr_global", f, r)),
        ("PSNR: full frame as filmed / over white", lambda: mean_of("psnr", f, r), lambda: mean_of("psnr", *white)),
        ("PSNR over white: all pixels / divided by the foreground's area", lambda: mean_of("psnr", *white),
            lambda: mean_of("psnr", white[0], white[1], inside)),
        ("PSNR: int / uint8 arithmetic that wraps around", lambda: mean_of("psnr", f, r), lambda: float(wrapped)),
        ("PSNR after resizing to 5/8: by area / bilinear without antialias",
            lambda: mean_of("psnr", *small[cv2.INTER_AREA]), lambda: mean_of("psnr", *small[cv2.INTER_LINEAR])),
        ("PSNR: aligned / shifted by one pixel", lambda: mean_of("psnr", f, r), lambda: mean_of("psnr", shifted, r)),
        ("SSIM: Gaussian 11 taps / scikit-image's default window", lambda: mean_of("ssim", f, r),
            lambda: float(uniform)),
        ("SSIM: full frame / foreground", lambda: mean_of("ssim", f, r), lambda: mean_of("ssim", f, r, inside)),
        ("SD: own size / the same frames doubled", lambda: mean_of("sd", f, r), lambda: mean_of("sd", *double)),
        ("SD: mean of |difference| / of gradient means (sd_global)", lambda: mean_of("sd", f, r),
            lambda: mean_of("sd_global", f, r)),
        ("ST-LPIPS: own size / the same frames doubled", lambda: mean_of("st-lpips", f, r),
            lambda: mean_of("st-lpips", *double)),
        ("F-LMD: as the paper / centred", lambda: mean_of("flmd", f, r), lambda: mean_of("flmd_centred", f, r)),
        ("F-LMD: px at 256 px / px at the frames' own size", lambda: mean_of("flmd", f, r),
            lambda: mean_of("flmd-native", f, r)),
        ("F-LMD: as rendered / the same frames made grey", lambda: mean_of("flmd", f, r),
            lambda: mean_of("flmd", grey, r)),
        ("LMD of lips: mean / sum over 20 points", lambda: mean_of("lmd_lips", f, r),
            lambda: mean_of("lmd_atvg", f, r)),
        ("BRISQUE of the frames: as filmed / over white", lambda: mean_of("brisque", f, r),
            lambda: mean_of("brisque", *white)),
    ]  # fmt: skip
    return [(title, one(), other()) for title, one, other in rows]


if __name__ == "__main__":
    main()
