"""Any table as independent standard normals: the coordinates from which a generator can draw such a table again.

Each column is coded given its group (Rosenblatt 1952: the conditional distribution function, one column after the
other): where a label or a number lies among those of its group is uniform, and so its normal quantile is N(0, 1)
whatever the group. Columns that depend on each other beyond their groups are made uncorrelated first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EDGE = 1e-4


def code_labels(labels: NDArray[np.str_], groups: NDArray[np.str_], rng: np.random.Generator) -> Array:
    """Labels ``[N]`` to ``[N, 1]``: each label of a group owns an interval as long as it is frequent there."""
    uniform = np.empty(len(labels))
    for group in np.unique(groups):
        rows = groups == group
        known, which, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
        edges = np.concatenate(([0.0], np.cumsum(counts) / counts.sum()))
        low, high = edges[which], edges[which + 1]
        uniform[rows] = low + (high - low) * rng.random(len(which))
        assert len(known) == len(counts)
    return _quantile(uniform)[:, None]


def code_numbers(values: Array, groups: NDArray[np.str_]) -> Array:
    """Numbers ``[N, K]`` to ``[N, K]``, column by column: the normal quantile of the rank within the group.

    Equal numbers share the middle of their ranks.
    """
    from scipy.stats import rankdata

    uniform = np.empty(values.shape)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        ranks = rankdata(values[rows], axis=0)
        uniform[rows] = (ranks - 0.5) / len(rows)
    return _quantile(uniform)


def uncorrelated(values: Array) -> Array:
    """Columns ``[N, K]`` less what a linear fit on the columns before them tells of each."""
    out = values - values.mean(axis=0)
    for column in range(1, values.shape[1]):
        before = out[:, :column]
        slopes = np.linalg.lstsq(before, out[:, column], rcond=None)[0]
        out[:, column] -= before @ slopes
    return out


def principal(values: Array, count: int) -> Array:
    """The ``count`` principal components ``[N, count]`` of ``values`` ``[N, K]``, most varied first."""
    centred = values - values.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ axes[:, ::-1][:, :count])


def _quantile(uniform: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(uniform, EDGE, 1.0 - EDGE)))
