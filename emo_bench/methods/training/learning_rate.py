"""Schedules of the learning rate, as shares of its peak."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch


def cosine_share(step: int, steps: int, final_share: float) -> float:
    """Return the share at ``step`` of ``steps``: a cosine that falls from 1 to ``final_share``.

    >>> cosine_share(0, 100, 0.05), round(cosine_share(50, 100, 0.05), 3), cosine_share(100, 100, 0.05)
    (1.0, 0.525, 0.05)
    """
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return final_share + (1.0 - final_share) * cosine


def warm_up_share(step: int, warm_up_steps: int) -> float:
    """Return the share at ``step``: it rises linearly to 1 over the first ``warm_up_steps``."""
    return min((step + 1) / warm_up_steps, 1.0)


def halved_share(step: int, steps: int, halved_at: Iterable[float]) -> float:
    """Return the share at ``step`` of ``steps``: it halves at each fraction ``halved_at`` (0 to 1) of the steps."""
    return float(0.5 ** sum(step >= at * steps for at in halved_at))


def set_rates(optimizer: torch.optim.Optimizer, peaks: float | Sequence[float], share: float) -> None:
    """Set the learning rates of an optimiser: each group's peak, or one peak for all groups, times ``share``.

    Example::

        set_rates(optimizer, config.lr, cosine_share(step, config.steps, config.final_lr_share))
    """
    groups = optimizer.param_groups
    for group, peak in zip(groups, peaks if isinstance(peaks, Sequence) else [peaks] * len(groups), strict=True):
        group["lr"] = peak * share
