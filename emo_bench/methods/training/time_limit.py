"""Training with a limit on its time: the whole schedule is followed in fewer steps.

Learning rates, phases and weights of losses are functions of the number of the step. With a limit this number still
runs from 0 to the end, but steps are left out, evenly, so that the end is reached when the time is over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.methods.interface import Workspace
from emo_bench.methods.max_minutes import OPTION, LimitedFit, minutes_of

# Key of the state of a training, beside its own keys.
STATE_KEY = "time_limit"
# The time of a step is the mean of the latest ones. One of them counts as this many times their median at most, so that
# a checkpoint does not look like slower steps.
LATEST, GREATEST_RATIO = 24, 4.0
# Steps that are measured before any is left out, if there is time for several times as many.
MEASURED, TIMES_MORE = 8, 4


@dataclass(frozen=True)
class TimeLimit:
    """The limit on the time of a fit.

    Attributes:
        minutes: the limit.
        began_s: when this attempt of the fit began, as ``clock`` tells it.
        earlier_s: time that the fit had used before. When a training continues from its state, the time in that state
            counts instead.
        clock: gives the time in seconds.
    """

    minutes: float
    began_s: float
    earlier_s: float = 0.0
    clock: Callable[[], float] = time.monotonic


def time_limit_of(workspace: Workspace, earlier_s: float | None = None) -> TimeLimit | None:
    """Return the limit that the user gave with ``--max-minutes``; None if there is none.

    Args:
        workspace: the workspace of the fit. The time counts from the beginning of the fit.
        earlier_s: the time that the fit has used before this call, in earlier attempts too, or that other runs have
            used for a stage that it shares with them. The time then counts from this call on.

    Raises:
        SettingError: it is not a possible one.
    """
    minutes = minutes_of(workspace.settings)
    if minutes is None:
        return None
    began_s = workspace.fit_began_s
    if began_s is None or earlier_s is not None:
        began_s = time.monotonic()
    return TimeLimit(minutes, began_s, earlier_s or 0.0)


class Pace:
    """Decides after each step which one is next.

    Args:
        limit_s: the limit in seconds.
        steps: the number of steps without a limit.
        required: numbers of steps that must not be left out, in addition to the first and the last.
    """

    def __init__(self, limit_s: float, steps: int, required: Collection[int] = ()) -> None:
        self._limit_s, self._steps = limit_s, steps
        self._required = sorted(required)
        # The first step of an attempt is slow, because kernels are compiled, so its time is not measured.
        self._before_s: float | None = None
        self._seconds: deque[float] = deque(maxlen=LATEST)

    def next_step(self, step: int, used_s: float) -> int:
        """Return the number of the step to take next.

        Args:
            step: the number that follows the step just taken.
            used_s: the time that is used, in seconds.

        Returns:
            ``step`` or a later one; the number of steps if the training is over. The last step is always taken.
        """
        if self._before_s is not None:
            self._seconds.append(used_s - self._before_s)
        self._before_s = used_s
        last, left_s = self._steps - 1, self._limit_s - used_s
        if step >= last:
            return step
        if not self._seconds:
            return step if left_s > 0 else last
        affordable = left_s / max(self._step_s(), 1e-9)
        if affordable < 1.5:
            return last
        few = len(self._seconds) < MEASURED and affordable > TIMES_MORE * MEASURED
        left = self._steps - step
        if few or affordable >= left:
            return step
        required = next((number for number in self._required if number >= step), last)
        return min(step - 1 + _jump(step, left / affordable), required, last)

    def _step_s(self) -> float:
        """Return the time of a step, in seconds."""
        greatest = GREATEST_RATIO * median(self._seconds)
        return fmean(min(seconds, greatest) for seconds in self._seconds)


def _jump(step: int, mean: float) -> int:
    """Draw how far to go from one step to the next, between half and one and a half times the mean, at least 1.

    Equal jumps would always meet, or always miss, what a method does on every second or every eighth step.
    """
    least = max(1.0, 0.5 * mean)
    drawn = np.random.default_rng(step).random(2)
    return int(least + 2.0 * (mean - least) * drawn[0] + drawn[1])


class LimitedSteps:
    """The time and the steps of a training with a limit, over all attempts.

    Args:
        limit: the limit.
        steps: the number of steps without a limit.
        required: as for :class:`Pace`.
        saved: the entry :data:`STATE_KEY` of the state that the training continues from; None for a new training.
    """

    def __init__(
        self, limit: TimeLimit, steps: int, required: Collection[int] = (), saved: Mapping[str, Any] | None = None
    ) -> None:
        self._limit, self._steps = limit, steps
        self._earlier_s = limit.earlier_s if saved is None else float(saved["seconds"])
        self._pace = Pace(60.0 * limit.minutes, steps, required)
        self.taken = 0 if saved is None else int(saved["taken"])
        # How many numbers further the next step is than the one before it.
        self.stride = 1 if saved is None else int(saved["stride"])
        self._last_s = self._earlier_s

    def used_s(self) -> float:
        """Return the time that the fit has used, in seconds."""
        return self._earlier_s + self._limit.clock() - self._limit.began_s

    def require_time(self, label: str) -> None:
        """Check that there is time for the first step.

        Raises:
            UserError: the work before the first step has used all the time.
        """
        used_s = self.used_s()
        if self.taken == 0 and used_s >= 60.0 * self._limit.minutes:
            raise UserError(
                f"{label}: the work before the first step took {used_s / 60.0:.2g} minutes, and {OPTION} "
                f"{self._limit.minutes:g} leaves no time to train: give more"
            )

    def after(self, step: int) -> int:
        """Count a step that was taken; return the number of the next one, ``step`` being the number that follows."""
        self.taken += 1
        self._last_s = self.used_s()
        following = self._pace.next_step(step, self._last_s)
        self.stride = following - step + 1
        return following

    def state(self) -> dict[str, Any]:
        """Return what the next attempt must know, for the state of the training."""
        return {STATE_KEY: {"seconds": self.used_s(), "taken": self.taken, "stride": self.stride}}

    def record(self) -> LimitedFit:
        """Return what the fit has done up to its latest step."""
        return LimitedFit(self._limit.minutes, round(self._last_s, 2), self.taken, self._steps)
