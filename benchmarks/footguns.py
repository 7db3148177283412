"""Compare conventions on the same frames: ``python benchmarks/footguns.py RUN`` prints the table of docs/footguns.md.

RUN is the folder of a finished run. Every line scores the run's own frames in two ways and shows both numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from emo_bench.metrics.conventions import Convention
from emo_bench.metrics.preparing import lay_on
from emo_bench.metrics.registry import metric_class
from emo_bench.runs.frame_scoring import run_sources

FRAMES = 100


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    whole = Convention("all", "", (), (), background="white")
    sources = run_sources(run, whole)
    step = max(len(sources[0]) // FRAMES, 1)  # type: ignore[arg-type]
    frames, reference, masks = (np.stack(list(source.open())[::step]) for source in sources)  # type: ignore[union-attr]
    inside = masks[..., 0] > 127
    print(f"{len(frames)} frames of {run}, {frames.shape[2]} px, {inside.mean():.0%} foreground\n")
    print("| two ways to score the same frames | one | the other |")
    print("|---|---|---|")
    for title, one, other in lines(frames, reference, inside):
        print(f"| {title} | {one:.4g} | {other:.4g} |")


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
            lambda: mean_of("psnr", *white, inside)),
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
