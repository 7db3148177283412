"""Propagation: a frame's tokens are those of the edited key frames, moved as the source's tokens correspond."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from baselines.tokenflow.key_frames import Neighbours


def nearest_tokens(tokens: Tensor, key_tokens: Tensor) -> Tensor:
    """Return for each token of a frame the number of the key frame's token that has the largest cosine to it.

    Args:
        tokens, key_tokens: source tokens of the frame and of the key frame, ``[L, C]`` and ``[K, C]``.

    Returns:
        int64 ``[L]``, the nearest-neighbour field.
    """
    ours, theirs = (functional.normalize(each.float(), dim=-1) for each in (tokens, key_tokens))
    return (ours @ theirs.T).argmax(-1)


def propagated(source: Tensor, key_source: Tensor, key_edited: Tensor, neighbours: Neighbours) -> Tensor:
    """Return the edited tokens of some frames.

    Args:
        source: source tokens of the frames, ``[N, L, C]``.
        key_source: source tokens of all key frames, ``[K, L, C]``.
        key_edited: edited tokens of all key frames, for each branch of the edit, ``[E, K, L, C]``.
        neighbours: the key frames around each of the ``N`` frames.

    Returns:
        ``[E, N, L, C]``: for each token the edited ones of the two key frames at the nearest source tokens, blended.
    """
    made = []
    for number, tokens in enumerate(source):
        past, future = int(neighbours.past[number]), int(neighbours.future[number])
        from_past = key_edited[:, past, nearest_tokens(tokens, key_source[past])]
        if past == future:
            made.append(from_past)
            continue
        from_future = key_edited[:, future, nearest_tokens(tokens, key_source[future])]
        made.append(torch.lerp(from_past, from_future, float(neighbours.future_weight[number])))
    return torch.stack(made, 1)
