"""Convert any table to independent standard normals, from which a generator can sample such a table again.

Each column is coded given its group (Rosenblatt 1952: the conditional distribution function, one column after the
other): the rank of a label or number within its group is uniform, so its normal quantile is N(0, 1) in every group.
Columns that depend on each other within their groups are made uncorrelated first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EDGE = 1e-4


def code_labels(labels: NDArray[np.str_], groups: NDArray[np.str_], rng: np.random.Generator) -> Array:
    """Code labels ``[N]`` as ``[N, 1]``: each label of a group gets an interval as long as its frequency there."""
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
    """Code numbers ``[N, K]`` as ``[N, K]``, column by column: the normal quantile of the rank within the group.

    Equal numbers get the mean of their ranks.
    """
    from scipy.stats import rankdata

    uniform = np.empty(values.shape)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        ranks = rankdata(values[rows], axis=0)
        uniform[rows] = (ranks - 0.5) / len(rows)
    return _quantile(uniform)


def uncorrelated(values: Array) -> Array:
    """Subtract from each of the columns ``[N, K]`` its linear fit on the columns before it."""
    out = values - values.mean(axis=0)
    for column in range(1, values.shape[1]):
        before = out[:, :column]
        slopes = np.linalg.lstsq(before, out[:, column], rcond=None)[0]
        out[:, column] -= before @ slopes
    return out


def principal(values: Array, count: int) -> Array:
    """Return the ``count`` strongest principal components ``[N, count]`` of ``values`` ``[N, K]``, in order."""
    centred = values - values.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ axes[:, ::-1][:, :count])


def _quantile(uniform: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(uniform, EDGE, 1.0 - EDGE)))
