"""Classifier-free guidance, whose strength can be brought back to that of an unguided prediction."""

from __future__ import annotations

import torch
from torch import Tensor


def guided(negative: Tensor, target: Tensor, scale: float, rescale: float) -> Tensor:
    """Return the prediction guided by the text, for each of ``[N, c, h, w]``; ``rescale`` as in :func:`rescaled`."""
    return rescaled(negative + scale * (target - negative), target, rescale)


def rescaled(found: Tensor, target: Tensor, share: float) -> Tensor:
    """Return guided predictions ``[N, c, h, w]`` whose deviation is brought back to that of ``target`` by a share.

    Guidance makes the prediction larger. Networks without signal at the last level need this, or colours become too
    strong (Lin et al. 2024).
    """
    usual, now = (each.flatten(1).std(dim=1).view(-1, 1, 1, 1) for each in (target, found))
    return torch.lerp(found, found * usual / now, share)
