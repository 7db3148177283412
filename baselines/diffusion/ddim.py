"""Noise levels and the DDIM step without noise (Song et al. 2021), in both directions.

At a level, a picture is ``signal * picture + noise * gaussian`` with ``signal² + noise² = 1``. A step to another level
is linear in the picture and in what the network predicts, for networks that predict noise and for those that predict v
(Salimans and Ho 2022): ``low = kept * high + added * prediction``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from emo_bench.errors import UserError

# Below this share of the variance, a level is pure noise: the clip cannot be found again from it.
LEAST_SIGNAL = 1e-6


@dataclass(frozen=True)
class Level:
    """A level of noise: the timestep that the network is told, and the shares of the picture and of the noise."""

    timestep: int
    signal: float
    noise: float


def noise_levels(scheduler: Any, steps: int, *, pure_noise: bool = False) -> list[Level]:
    """Return the levels of a DDIM sampling, from the clean picture to the noisiest one.

    Args:
        scheduler: the ``DDIMScheduler`` of the pipeline; its timesteps are set.
        steps: number of steps of the scheduler.
        pure_noise: whether a level without signal (zero terminal signal: Lin et al. 2024) is kept. No inversion gets
            past it, but a sampling may start there.

    Returns:
        ``steps + 1`` levels, one less where the last one is left out.
    """
    scheduler.set_timesteps(steps)
    timesteps = sorted({int(timestep) for timestep in scheduler.timesteps})
    levels = [_level(0, scheduler.final_alpha_cumprod), *(level_at(scheduler, timestep) for timestep in timesteps)]
    return [level for level in levels if pure_noise or level.signal**2 > LEAST_SIGNAL]


def level_at(scheduler: Any, timestep: int) -> Level:
    """Return the level of a timestep of the training."""
    return _level(timestep, scheduler.alphas_cumprod[timestep])


def levels_between(scheduler: Any, low: Level, high: Level, substeps: int) -> list[Level]:
    """Return ``low``, the levels that cut the way to ``high`` into ``substeps`` of equal length, and ``high``.

    There are fewer if the training has fewer timesteps between the two.
    """
    timesteps = np.linspace(low.timestep, high.timestep, substeps + 1).round().astype(int)
    inner = sorted({int(timestep) for timestep in timesteps} - {low.timestep, high.timestep})
    return [low, *(level_at(scheduler, timestep) for timestep in inner), high]


def denoised(high_latents: Tensor, prediction: Tensor, high: Level, low: Level, kind: str) -> Tensor:
    """Take the step from a noisy level to a cleaner one.

    Args:
        high_latents, prediction: the latents at ``high`` and what the network predicts there, of the same shape.
        high, low: the two levels.
        kind: ``epsilon`` or ``v_prediction``, as the scheduler names it.
    """
    kept, added = _factors(high, low, kind)
    return kept * high_latents + added * prediction


def picture_and_noise(latents: Tensor, prediction: Tensor, level: Level, kind: str) -> tuple[Tensor, Tensor]:
    """Return the picture and the noise that the network sees in noisy latents; ``kind`` as in :func:`denoised`."""
    if kind == "v_prediction":
        return (level.signal * latents - level.noise * prediction, level.noise * latents + level.signal * prediction)
    return (latents - level.noise * prediction) / level.signal, prediction


def noised(low_latents: Tensor, prediction: Tensor, high: Level, low: Level, kind: str) -> Tensor:
    """Take the step of :func:`denoised` backwards: the latents at ``high`` from those at ``low``."""
    kept, added = _factors(high, low, kind)
    return (low_latents - added * prediction) / kept


def steps_down(levels: list[Level]) -> list[tuple[Level, Level]]:
    """Return the steps of a sampling as pairs (noisy, cleaner), the noisiest first."""
    return list(pairwise(reversed(levels)))


def require_kind(kind: str) -> str:
    """Return what a scheduler says that its network predicts, if a step can be taken backwards.

    Raises:
        UserError: it is neither noise nor v.
    """
    if kind not in {"epsilon", "v_prediction"}:
        raise UserError(f"the pipeline's network predicts {kind!r}: the inversion takes epsilon or v_prediction")
    return kind


def _level(timestep: int, cumulative_alpha: Any) -> Level:
    alpha = float(cumulative_alpha)
    return Level(timestep, alpha**0.5, (1 - alpha) ** 0.5)


def _factors(high: Level, low: Level, kind: str) -> tuple[float, float]:
    if kind == "v_prediction":
        # picture = signal * x - noise * v and gaussian = noise * x + signal * v, both at `high`.
        return (low.signal * high.signal + low.noise * high.noise, low.noise * high.signal - low.signal * high.noise)
    # picture = (x - noise * prediction) / signal at `high`, and gaussian = prediction.
    kept = low.signal / high.signal
    return kept, low.noise - kept * high.noise
