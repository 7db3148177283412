"""Key frames: one at random in each batch of frames, and for every frame the two around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baselines.diffusion.networks import batches


@dataclass(frozen=True)
class Neighbours:
    """The key frames around each of some frames.

    Attributes:
        past, future: number of the closest key frame that is not later, and not earlier, in the list of key frames,
            int64 ``[N]``. Both are the frame itself if it is a key frame. A frame outside of all key frames has the
            closest one on both sides.
        future_weight: weight of ``future``, float32 ``[N]``; ``past`` has the rest.
    """

    past: Tensor
    future: Tensor
    future_weight: Tensor


def choose_key_frames(frames: int, batch: int, seed: int, step: int) -> list[int]:
    """Return the number of one random frame in each batch of ``batch`` frames, ascending.

    The last batch has the remainder. ``seed`` and ``step`` alone decide.
    """
    rng = np.random.default_rng((seed, step))
    return [int(rng.integers(rows.start, rows.stop)) for rows in batches(frames, batch)]


def neighbours_of(frames: list[int], key_frames: list[int]) -> Neighbours:
    """Return the key frames around each frame, with the paper's weight ``sigmoid(d_past / (d_past + d_future))``."""
    keys, wanted = np.asarray(key_frames), np.asarray(frames)
    past = np.searchsorted(keys, wanted, side="right") - 1
    future = np.searchsorted(keys, wanted, side="left")
    past, future = np.where(past < 0, future, past), np.where(future == len(keys), past, future)
    to_past, to_future = np.abs(wanted - keys[past]), np.abs(keys[future] - wanted)
    # The two are equal for a key frame: the weight does not matter there.
    share = to_past / np.maximum(to_past + to_future, 1)
    weight = torch.sigmoid(torch.from_numpy(share).float())
    return Neighbours(torch.from_numpy(past), torch.from_numpy(future), weight)
