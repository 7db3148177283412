"""How far the mean of similar neighbouring frames may be from the truth: the correlation is estimated, not assumed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

# The prior: a decay says how often a series forgets its past, from a quarter of a time to at every frame.
INDEPENDENT_WEIGHT = 0.7
SLOWEST_DECAY = 0.25
DECAYS = 24
DECAY_TILT = 0.15
NOISE_SHARES = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85)
NOISE_WEIGHTS = (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)
MOST_COSINES = 200
# Halley's method for half the width of an interval ends with a step of this share of it. The error that is left has the
# order of the cube of the step.
LAST_STEP, MOST_STEPS = 2e-3, 200
# The search for its start ends sooner: the error that is left has the order of the square of the step.
NEAR_STEP, NEAR_STEPS = 0.05, 5

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MeanError:
    """The distribution of the truth around the mean of a series: a mixture of Student's t.

    Attributes:
        n: number of frames.
        n_effective: the number of independent frames whose mean would be as uncertain, as the harmonic mean over the
            correlations that the series may have: the variance of a frame over the variance of the mean. The former is
            the variance that the series shows plus the latter, by which its own mean is off.
        freedom: degrees of freedom of each t.
        weights, shifts, scales: ``[P]``, for each correlation that the series may have.
    """

    n: int
    n_effective: float
    freedom: int
    weights: FloatArray
    shifts: FloatArray
    scales: FloatArray

    def half_width(self, level: float) -> float:
        """Half the width of the interval around the mean that holds the truth with probability ``level``."""

        freedom = self.freedom
        peak = math.exp(special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2))
        peak /= math.sqrt(math.pi * freedom)
        # The upper ends of the interval in each t, and its lower ends with the sign turned.
        inverse = 1 / np.concatenate([self.scales, self.scales])
        shifts = np.concatenate([-self.shifts, self.shifts]) * inverse
        weights = np.concatenate([self.weights, self.weights])
        half = _near_half_width(self, level, inverse, shifts, weights)
        low, high = 0.0, math.inf
        # Halley's method; a step that leaves the known bounds is replaced by their middle.
        for _ in range(MOST_STEPS):
            ends = half * inverse + shifts
            excess = float(weights @ special.stdtr(freedom, ends)) - 1 - level
            low, high = (low, half) if excess > 0 else (half, high)
            squares = ends * ends
            density = peak * np.exp(np.log1p(squares / freedom) * (-(freedom + 1) / 2)) * weights * inverse
            slope = float(density.sum())
            bend = -(freedom + 1) * float((density * inverse) @ (ends / (freedom + squares)))
            step = excess / slope
            step /= max(1 - step * bend / (2 * slope), 0.5)
            if abs(step) <= LAST_STEP * half:
                return half - step
            half = half - step if low < half - step < high else 2 * half if high == math.inf else (low + high) / 2
        return half


def _near_half_width(
    error: MeanError, level: float, inverse: FloatArray, shifts: FloatArray, weights: FloatArray
) -> float:
    """Half the width with a normal distribution in the place of each t, which takes a tenth of the time.

    An end x of a t with v degrees of freedom becomes ``x (1 - 1 / 4v) / sqrt(1 + x^2 / 2v)`` (Abramowitz and Stegun
    1964, 26.7.8). Newton's method looks for the normal quantile of the held probability, which is nearly linear in the
    width.

    Args:
        error: the distribution.
        level: the probability.
        inverse, shifts, weights: ``[2 P]``, the ends in each t are ``half * inverse + shifts``.
    """
    wanted = float(special.ndtri((1 + level) / 2))
    factor, double = 1 - 1 / (4 * error.freedom), 2 * error.freedom
    half = float(special.stdtrit(error.freedom, (1 + level) / 2))
    half *= float(error.weights @ np.hypot(error.scales, error.shifts))
    slopes = weights * inverse * factor
    for _ in range(NEAR_STEPS):
        ends = half * inverse + shifts
        shrink = 1 / np.sqrt(1 + ends * ends / double)
        normal = factor * ends * shrink
        found = float(special.ndtri(float(weights @ special.ndtr(normal)) / 2))
        slope = float(slopes @ (np.exp(-0.5 * normal * normal) * shrink**3)) / 2
        if not slope or not math.isfinite(found):
            break
        slope *= math.exp(0.5 * found * found)
        step = (found - wanted) / slope
        half = max(half - step, half / 4)
        if abs(step) <= NEAR_STEP * half:
            break
    return half


def mean_error(series: FloatArray) -> MeanError:
    """Estimate how uncertain the mean of a stationary series is.

    The series is taken as Gaussian AR(1) plus white noise. Neither the correlation nor the share of the noise is known:
    each possible pair is weighted by its likelihood and a prior. The likelihood is that of the lowest
    ``1.5 n^(2/3)`` cosines (Mueller and Watson 2017, Low-Frequency Econometrics; Mueller 2014, J. Business & Economic
    Statistics 32), because the slow part of a series decides how uncertain its mean is. docs/statistics.md gives the
    prior and the measured coverage.

    Args:
        series: ``[N]``, finite and not constant, N at least 2, in frame order.
    """
    n = len(series)
    model = _model(n)
    centred = series - series.mean()
    scale = float(np.abs(centred).max())
    centred /= scale
    cosines = fft.dct(centred, type=2, norm="ortho")[1 : model.freedom + 1]
    squares = model.inverse_variances @ np.square(cosines)
    for factor, direction in model.edges:
        squares += factor * np.square(direction @ cosines)
    logs = model.log_prior - 0.5 * model.freedom * np.log(squares)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    kept = weights > 1e-8
    deviations = scale * np.sqrt(squares / model.freedom * model.variance / n)
    spread = float(np.square(centred).mean())
    variances_of_mean = squares * model.inflation / model.freedom / n
    return MeanError(
        n=n,
        n_effective=1 / float(weights @ (variances_of_mean / (spread + variances_of_mean))),
        freedom=model.freedom,
        weights=weights[kept] / weights[kept].sum(),
        shifts=(scale / math.sqrt(n) * (model.slopes @ cosines))[kept],
        scales=deviations[kept],
    )


@dataclass(frozen=True)
class _Model:
    """What does not depend on the scores, for P correlations, q = ``freedom`` cosines and frames of variance 1.

    Attributes:
        freedom: the number of cosines.
        inverse_variances: ``[P, q]``.
        edges: for even and odd cosines, what the two ends of the series add to the inverse covariance: a factor ``[P]``
            and a direction ``[P, q]``.
        log_prior: ``[P]``, with the determinant of the covariance.
        inflation: ``[P]``, variance of the mean times n.
        slopes: ``[P, q]``, regression of the mean (times the root of n) on the cosines.
        variance: ``[P]``, what that regression leaves of ``inflation``.
    """

    freedom: int
    inverse_variances: FloatArray
    edges: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
    log_prior: FloatArray
    inflation: FloatArray
    slopes: FloatArray
    variance: FloatArray


@lru_cache(maxsize=32)
def _model(n: int) -> _Model:
    """Covariances of the cosines in closed form.

    The inverse covariance of AR(1) is tridiagonal. The cosines diagonalise it except at its two corners, which add a
    term of rank one for the even cosines and one for the odd cosines (Woodbury).
    """
    freedom = max(1, min(n - 1, round(1.5 * n ** (2 / 3)), MOST_COSINES))
    correlations, noise, prior = _prior(n)
    own = (1 - noise) * (1 - correlations**2)
    order = np.arange(n)
    corner = np.full(n, math.sqrt(2 / n)) * np.cos(np.pi * order / (2 * n))
    corner[0] = math.sqrt(1 / n)
    distinct, place = np.unique(correlations, return_inverse=True)
    inner = (1 - distinct[:, None]) ** 2 + 2 * distinct[:, None] * (1 - np.cos(np.pi * order / n))
    loads = (corner**2 / inner).reshape(len(distinct), n)
    inner, lowest = inner[place, : freedom + 1], corner[: freedom + 1] / inner[place, : freedom + 1]
    bend = 2 * correlations * (1 - correlations)
    variances = noise[:, None] + own[:, None] / inner[:, 1:]
    log_determinant = np.log(variances).sum(axis=1)
    edges = []
    taken = []
    for parity in (0, 1):
        strength = own * bend / (1 + bend * loads[place, parity::2].sum(axis=1))
        shape = np.where(order[1 : freedom + 1] % 2 == parity, lowest[:, 1:], 0.0)
        direction = shape / variances
        rest = 1 - strength * (shape * direction).sum(axis=1)
        log_determinant += np.log(rest)
        edges.append((strength / rest, direction))
        taken.append((strength, shape))
    strength, shape = taken[0]
    inflation = noise + own / inner[:, 0] - strength * lowest[:, 0] ** 2
    shared = -(strength * lowest[:, 0])[:, None] * shape
    factor, direction = edges[0]
    slopes = shared / variances + (factor * (direction * shared).sum(axis=1))[:, None] * direction
    return _Model(
        freedom=freedom,
        inverse_variances=1 / variances,
        edges=(edges[0], edges[1]),
        log_prior=np.log(prior) - 0.5 * log_determinant,
        inflation=inflation,
        slopes=slopes,
        variance=inflation - (slopes * shared).sum(axis=1),
    )


def _prior(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Correlations of neighbouring frames, shares of noise, and weights, each ``[P]``; the last one has no correlation.

    The correlation is ``exp(-c / n)``, where the decay c says how often the series forgets its past.
    """
    decays = np.geomspace(SLOWEST_DECAY, 2 * n, DECAYS)
    weights = np.outer(decays**DECAY_TILT, NOISE_WEIGHTS).ravel()
    correlations = np.repeat(np.exp(-decays / n), len(NOISE_SHARES))
    noise = np.tile(NOISE_SHARES, DECAYS)
    weights *= (1 - INDEPENDENT_WEIGHT) / weights.sum()
    return np.append(correlations, 0.0), np.append(noise, 0.0), np.append(weights, INDEPENDENT_WEIGHT)
