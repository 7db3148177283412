"""The frame rate of a video, and how frames at irregular times are brought to a constant rate."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

# A frame rate is variable if this share of the intervals differs from the median by more than this share.
INTERVAL_TOLERANCE = 0.3
IRREGULAR_SHARE = 0.02
# Plausible frame rates of a video; other values come from damaged time stamps.
FPS_RANGE = (0.1, 1000.0)
USUAL_FPS = 25
# The rates of cameras and editors. A variable rate is brought to the nearest of them.
USUAL_RATES = (
    Fraction(10), Fraction(15), Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
    Fraction(50), Fraction(60000, 1001), Fraction(60),
)  # fmt: skip
# A file whose time stamps jump is not resampled to more than so many times its frames.
MOST_REPEATS = 4


def is_variable(times: Sequence[float]) -> bool:
    """Return whether frames at these ascending times in seconds have no constant rate."""
    intervals = np.diff(times)
    if not len(intervals) or not _plausible(float(np.median(intervals))):
        return False
    usual = float(np.median(intervals))
    return bool((np.abs(intervals - usual) > INTERVAL_TOLERANCE * usual).mean() > IRREGULAR_SHARE)


def frame_rate(times: Sequence[float], said: Fraction | None) -> tuple[Fraction, bool]:
    """Return the frames per second at regular times, and whether they are derived from these times.

    Args:
        said: the rate that the file names.
    """
    intervals = np.diff(times)
    usual = float(np.median(intervals)) if len(intervals) else 0.0
    if not _plausible(usual):
        named = Fraction(said or 0)
        fits = FPS_RANGE[0] <= named <= FPS_RANGE[1]
        return (named.limit_denominator(1001) if fits else Fraction(USUAL_FPS)), len(intervals) == 0
    measured = Fraction(1.0 / usual)
    near = Fraction(said) if said else measured
    if abs(near - measured) > measured / 20:
        near = measured
    return near.limit_denominator(1001), True


def slowest_and_fastest(times: Sequence[float]) -> tuple[float, float]:
    """Return the range of the rates between frames in frames per second, without the rarest 2 % at each end."""
    intervals = np.diff(times)
    slow, fast = (1.0 / max(float(np.percentile(intervals, q)), 1e-3) for q in (98, 2))
    return slow, fast


def constant_rate(times: Sequence[float]) -> tuple[Fraction, tuple[int, ...]] | None:
    """Return the usual rate that is nearest to that of most frames, and the frame that is on screen at each tick of it.

    Frames between two ticks are left out, and a frame that stays longer is repeated. None if the times jump so far
    that most frames would be repetitions.
    """
    rate = 1.0 / float(np.median(np.diff(times)))
    fps = min(USUAL_RATES, key=lambda usual: abs(np.log(float(usual) / rate)))
    ticks = round((times[-1] - times[0]) * float(fps)) + 1
    if ticks > MOST_REPEATS * len(times):
        return None
    at = times[0] + np.arange(ticks) / float(fps)
    # Half a tick earlier or later is the same tick.
    shown = np.searchsorted(np.asarray(times), at + 0.5 / float(fps), side="right") - 1
    return fps, tuple(int(number) for number in np.clip(shown, 0, len(times) - 1))


def _plausible(interval_s: float) -> bool:
    return interval_s > 0 and FPS_RANGE[0] <= 1.0 / interval_s <= FPS_RANGE[1]
