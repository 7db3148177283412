"""How often intervals hold the truth, and how often ``compare`` is wrong: ``python benchmarks/coverage.py``.

Each row is a kind of series whose mean is known. Columns:

- covers: share of the intervals shown that hold the true mean (95 % is right);
- shown: share of the series for which the interval is not withheld;
- false: share of all series for which ``compare`` calls two sides of equal mean better or worse (5 % is right);
- width: median width of the intervals shown, over the width that one would have who knew the true variance of the mean;
- worth: median n_effective, and the true one.

It takes three minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal, stats

from emo_bench.statistics import mean_interval
from emo_bench.statistics.differences import UNDECIDED, SubjectScores, compare_scores

FloatArray = NDArray[np.float64]
Maker = Callable[[np.random.Generator, int, int], FloatArray]
WARM_UP = 600
LENGTHS = (500, 75)
CORRELATIONS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Kind:
    """Series of mean 0: ``make(rng, count, frames)`` gives ``[count, frames]``."""

    name: str
    make: Maker


def main() -> None:
    """Print one table for each length of series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=600, help="series for each row")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for frames in LENGTHS:
        print_table(frames, [autoregressive(rho) for rho in CORRELATIONS] + OTHERS, arguments.series, arguments.seed)
    print_table(24, [autoregressive(rho) for rho in CORRELATIONS[:4]] + OTHERS[-3:], arguments.series, arguments.seed)


def print_table(frames: int, kinds: list[Kind], count: int, seed: int) -> None:
    print(f"\n| {frames} frames | covers | shown | false | width | worth (true) |\n|---|---|---|---|---|---|")
    for kind in kinds:
        print(f"| {kind.name} | " + " | ".join(measure(kind, frames, count, seed)) + " |", flush=True)


def measure(kind: Kind, frames: int, count: int, seed: int) -> list[str]:
    """The cells of a row."""
    rng = np.random.default_rng([seed, frames])
    series = kind.make(rng, count, frames)
    error = float(kind.make(np.random.default_rng([seed, frames, 1]), 20_000, frames).mean(axis=1).std())
    ideal = 2 * float(stats.norm.ppf(0.975)) * error
    found = [mean_interval(own) for own in series]
    shown = [interval for interval in found if not interval.withheld]
    covers = sum(interval.low <= 0 <= interval.high for interval in shown)
    false = sum(called_different(own, rng) for own in series)
    width = float(np.median([interval.high - interval.low for interval in shown])) / ideal if shown else np.nan
    true_worth = float(series.var() / error**2)
    return [
        f"{covers / max(len(shown), 1):.1%}", f"{len(shown) / count:.0%}", f"{false / count:.1%}", f"{width:.2f}",
        f"{np.nanmedian([interval.n_effective for interval in found]):.0f} ({true_worth:.0f})",
    ]  # fmt: skip


def called_different(gap: FloatArray, rng: np.random.Generator) -> bool:
    """Whether two sides that share a scene and differ by ``gap``, whose mean is 0, get a verdict."""
    scene = 30 + 10 * autoregressive(0.99).make(rng, 1, len(gap))
    pair = SubjectScores(scene + gap, scene)
    return compare_scores([pair], "higher").verdict != UNDECIDED


def autoregressive(rho: float, noise: float = 0.0) -> Kind:
    """AR(1) of variance 1 with lag-1 correlation ``rho``; ``noise`` is the share of white noise that is mixed in."""

    def make(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
        drawn = rng.standard_normal((count, frames)) * np.sqrt(1 - rho**2)
        drawn[:, 0] /= np.sqrt(1 - rho**2)
        slow = signal.lfilter([1.0], [1.0, -rho], drawn, axis=1)
        return np.asarray(np.sqrt(1 - noise) * slow + np.sqrt(noise) * rng.standard_normal((count, frames)))

    return Kind(f"AR(1) {rho:g}" + (f" + {noise:.0%} noise" if noise else ""), make)


def filtered(name: str, coefficients: list[float], draw: Maker) -> Kind:
    def make(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
        drawn = draw(rng, count, frames + WARM_UP)
        return np.asarray(signal.lfilter([1.0], coefficients, drawn, axis=1)[:, WARM_UP:])

    return Kind(name, make)


def normal(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
    return rng.standard_normal((count, frames))


def heavy_tailed(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
    return rng.standard_t(3, (count, frames))


def skewed(rho: float) -> Kind:
    """The exponential of AR(1): skewness 6."""

    def make(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
        return np.asarray(np.exp(autoregressive(rho).make(rng, count, frames)) - np.exp(0.5))

    return Kind(f"exp of AR(1) {rho:g}", make)


def long_memory(d: float) -> Kind:
    """Fractionally integrated noise (Granger and Joyeux 1980): its correlation falls as a power of the lag."""

    def make(rng: np.random.Generator, count: int, frames: int) -> FloatArray:
        lags = np.arange(1, frames + WARM_UP)
        response = np.concatenate([[1.0], np.cumprod((lags - 1 + d) / lags)])
        drawn = rng.standard_normal((count, frames + WARM_UP))
        return np.asarray(signal.fftconvolve(drawn, response[None], axes=1)[:, WARM_UP : WARM_UP + frames])

    return Kind(f"long memory, d = {d:g}", make)


OTHERS = [
    autoregressive(-0.5),
    autoregressive(0.9, noise=0.3),
    autoregressive(0.95, noise=0.3),
    autoregressive(0.98, noise=0.3),
    filtered("AR(2), roots 0.9 and 0.7", [1.0, -1.6, 0.63], normal),
    filtered("AR(2), period 20 frames", [1.0, -1.8 * float(np.cos(np.pi / 10)), 0.81], normal),
    long_memory(0.3),
    filtered("AR(1) 0.5 of t with 3 degrees", [1.0, -0.5], heavy_tailed),
    skewed(0.0),
    skewed(0.8),
]

if __name__ == "__main__":
    main()
