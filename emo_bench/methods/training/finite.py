"""The check that a training has not diverged."""

from __future__ import annotations

import math
from collections.abc import Mapping

from emo_bench.errors import UserError


def require_finite(values: Mapping[str, float], what: str, step: int, remedy: str) -> None:
    """Raise if a loss is NaN or infinite. Call it before the optimiser's step, so that the weights stay good.

    Args:
        values: losses by name.
        what: the training, for the message, e.g. ``"insta: training"``.
        step: number of the step.
        remedy: what the user may try, e.g. ``"try --set lr=..."``.

    Raises:
        UserError: a value is not finite; the message names it, the step and the remedy.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise UserError(f"{what} stopped at step {step}: {', '.join(bad)} is not finite; {remedy}")
