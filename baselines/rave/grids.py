"""Grids of frames: pictures that are put together from the pictures of several frames, and taken apart again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def shuffled_places(frames: int, side: int, seed: int, step: int) -> Tensor:
    """Return which frame each place of the grids shows in a step, int64 ``[G * side * side]``.

    Every frame has one place of its own; ``seed`` and ``step`` alone decide which. Then places are left over in the
    last grid, which show frames a second time.
    """
    return _filled(np.random.default_rng((seed, step)).permutation(frames), side)


def ordered_places(frames: int, side: int) -> Tensor:
    """Return the same without shuffling: the frames are in their order."""
    return _filled(np.arange(frames), side)


def _filled(own: np.ndarray, side: int) -> Tensor:
    grids = -(-len(own) // side**2)
    # np.resize repeats from the beginning, so the copies are frames of the first grid.
    return torch.from_numpy(np.resize(own, grids * side**2))


def put_together(pictures: Tensor, places: Tensor, side: int) -> Tensor:
    """Return grids ``[G, c, side * h, side * w]`` of pictures ``[N, c, h, w]``; places go row by row."""
    placed = pictures[places.to(pictures.device)]
    rows = placed.unflatten(0, (-1, side, side)).permute(0, 3, 1, 4, 2, 5)
    return rows.flatten(4).flatten(2, 3)


def taken_apart(grids: Tensor, places: Tensor, side: int, frames: int) -> Tensor:
    """Return the pictures ``[N, c, h, w]`` of the frames from grids; that of the frame's own place counts."""
    apart = grids.unflatten(3, (side, -1)).unflatten(2, (side, -1)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    found = apart.new_empty(frames, *apart.shape[1:])
    found[places[:frames].to(found.device)] = apart[:frames]
    return found
