"""The reference on other frames: each pixel takes the colour that the reference has at the same place of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Number of nearest places whose positions are averaged, so that a move is finer than a pixel.
NEAREST = 4
# Difference of colours in [-1, 1] before the edit at which a pixel counts as another part of the person.
DIFFERENT = 0.15


@dataclass(frozen=True)
class MovedReference:
    """The reference as each frame would show it, where that is known.

    Attributes:
        images: ``[F, 3, R, R]`` in [-1, 1].
        weights: ``[F, 1, R, R]`` in [0, 1]; 0 where the frame shows what the reference's frame does not show.
    """

    images: Tensor
    weights: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, reference: Tensor, unedited: Tensor, uv: np.ndarray, mask: np.ndarray, limit: float) -> MovedReference:
        """Move ``reference [1, 3, R, R]``, the edit of frame 0, to all frames.

        The same move is made with frame 0 before its edit. Where the result differs from the frame before its edit (an
        open mouth, another shadow, hair that is not on the UV map), the weight falls to 0.

        Args:
            reference: in [-1, 1].
            unedited: the avatar's frames before the edit, ``[F, 3, R, R]`` in [-1, 1].
            uv, mask: ``[F, R, R, 2]`` and ``[F, R, R]`` bool.
            limit: the greatest distance to the same place, in UV.
        """
        both = torch.cat((reference, unedited[:1]), dim=1)
        images, weights = [], []
        for frame in range(len(unedited)):
            places, known = places_in_first(uv[0], mask[0], uv[frame], mask[frame], limit)
            grid = torch.from_numpy(places / places.shape[0] * 2.0 - 1.0).to(both)[None]
            moved = F.grid_sample(both, grid, mode="bicubic", padding_mode="border", align_corners=False)
            gap = blurred(moved[:, 3:] - unedited[frame : frame + 1]).abs().amax(dim=1, keepdim=True)
            images.append(moved[:, :3].clamp(-1.0, 1.0))
            weights.append(torch.from_numpy(known).to(gap) * torch.exp(-((gap / DIFFERENT) ** 2)))
        return cls(torch.cat(images), torch.cat(weights))

    def loss(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return the weighted mean absolute difference of ``images [B, 3, R, R]`` to the frames ``rows [B]``, scalar.

        The mean is over all pixels: a frame that shows little of the reference counts little.
        """
        return (self.weights[rows] * (images - self.images[rows]).abs()).mean()


def places_in_first(
    uv: np.ndarray, mask: np.ndarray, other_uv: np.ndarray, other_mask: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find where the first frame shows what each pixel of another frame shows.

    A pixel that is off the person in both frames is at the same place in both: the camera does not move.

    Args:
        uv, mask: the first frame's UV map ``[R, R, 2]`` and where it is defined ``[R, R]``.
        other_uv, other_mask: those of the other frame.
        limit: the greatest distance to the nearest UV.

    Returns:
        ``[R, R, 2]`` float32 x, y in px of the first frame (pixel centres lie at halves), and ``[R, R]`` bool: whether
            the first frame shows it.
    """
    from scipy.spatial import cKDTree

    side = len(mask)
    centres = np.arange(side, dtype=np.float32) + 0.5
    places = np.stack(np.meshgrid(centres, centres), axis=-1)
    known = ~mask & ~other_mask
    rows, columns = np.nonzero(mask)
    if not len(rows) or not other_mask.any():
        return places, known
    there = np.stack([columns, rows], axis=1) + 0.5
    count = min(NEAREST, len(rows))
    distance, nearest = cKDTree(uv[rows, columns].astype(np.float64)).query(
        other_uv[other_mask].astype(np.float64), k=[*range(1, count + 1)]
    )
    shares = 1.0 / (distance**2 + 1e-10)
    shares /= shares.sum(axis=1, keepdims=True)
    places[other_mask] = (there[nearest] * shares[..., None]).sum(axis=1)
    # Neighbours in UV that are far apart in the picture lie on two sides of a seam: their mean is on neither.
    apart = np.ptp(there[nearest], axis=1).max(axis=1)
    known[other_mask] = (distance[:, 0] <= limit) & (apart <= NEAREST)
    return places, known


def blurred(images: Tensor) -> Tensor:
    """Average ``[B, C, R, R]`` over windows of 3x3 px."""
    return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
