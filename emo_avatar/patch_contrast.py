"""The patch-wise contrastive loss of the edit stage (paper equation 3), and the matching of patches through UV."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Encoder = Callable[[Tensor], Tensor]


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = 0.07, normalize: bool = True) -> Tensor:
    """Compute equation 3, averaged over queries; the positive of query i is key i, the other keys are its negatives.

    Unlike CUT's loss, whose keys are constants, the queries come from the fixed reference here and gradients flow
    through the keys, which are patches of the generated frame.

    Args:
        queries: ``[N, D]`` features of the reference's patches.
        keys: ``[N, D]`` features of the generated patches.
        temperature: divides the dot products; 1 is the equation as printed.
        normalize: whether features are normalised to length 1 first; in the equation as printed they are not.
    """
    queries = queries.detach()
    if normalize:
        queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
    logits = queries @ keys.T / temperature
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def cut_patches(images: Tensor, centres_px: Tensor, side_px: float, out_px: int) -> Tensor:
    """Cut one square patch at each centre out of one image and resize it, differentiable in the image.

    Args:
        images: ``[1, C, H, W]``.
        centres_px: ``[N, 2]`` x, y; pixel centres lie at halves. Patches are moved inside the frame.
        side_px: side of a patch.
        out_px: side of the result.

    Returns:
        ``[N, C, out_px, out_px]``.
    """
    height, width = images.shape[-2:]
    half = side_px / 2.0
    x = centres_px[:, 0].clamp(half, width - half)
    y = centres_px[:, 1].clamp(half, height - half)
    steps = (torch.arange(out_px, device=images.device, dtype=images.dtype) + 0.5) / out_px * side_px - half
    grid_x = (x[:, None, None] + steps[None, None, :]).expand(-1, out_px, -1) / width * 2.0 - 1.0
    grid_y = (y[:, None, None] + steps[None, :, None]).expand(-1, -1, out_px) / height * 2.0 - 1.0
    grid = torch.stack((grid_x, grid_y), dim=-1).to(images.dtype)
    # All patches are rows of one tall grid, so that the image is not copied for each patch.
    tall = grid.reshape(1, len(x) * out_px, out_px, 2)
    patches = F.grid_sample(images, tall, mode="bicubic", padding_mode="border", align_corners=False)
    return patches[0].reshape(images.shape[1], len(x), out_px, out_px).transpose(0, 1)


def draw_centres(mask: np.ndarray, count: int, on_person_share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw patch centres ``[count, 2]`` (x, y, px): a share of them inside ``mask [H, W]``, the others anywhere."""
    height, width = mask.shape
    anywhere = rng.uniform((0.0, 0.0), (width, height), size=(count, 2))
    rows, columns = np.nonzero(mask)
    if len(rows):
        on_person = round(count * on_person_share)
        chosen = rng.integers(len(rows), size=on_person)
        anywhere[:on_person] = np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5
    return anywhere.astype(np.float32)


def matching_centres(
    centres_px: np.ndarray, uv: np.ndarray, mask: np.ndarray, other_uv: np.ndarray, other_mask: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find where the surface under each centre lies in another frame.

    Args:
        centres_px: ``[N, 2]`` x, y in the first frame.
        uv, mask: the first frame's UV map ``[H, W, 2]`` and where it is defined ``[H, W]``.
        other_uv, other_mask: those of the other frame.
        limit: the greatest distance to the nearest UV.

    Returns:
        ``[N, 2]`` float32 px, the centre of the pixel whose UV is nearest, and ``[N]`` bool: whether there is one.
            There is none for a centre off the surface, or if the other frame does not show its place.
    """
    from scipy.spatial import cKDTree

    height, width = mask.shape
    columns, rows = (np.clip(centres_px[:, i].astype(np.int64), 0, side - 1) for i, side in ((0, width), (1, height)))
    found = mask[rows, columns].copy()
    matched = np.zeros_like(centres_px, dtype=np.float32)
    other_rows, other_columns = np.nonzero(other_mask)
    if not found.any() or not len(other_rows):
        return matched, np.zeros(len(centres_px), dtype=bool)
    tree = cKDTree(other_uv[other_rows, other_columns].astype(np.float64))
    distance, nearest = tree.query(uv[rows[found], columns[found]].astype(np.float64))
    matched[found] = np.stack([other_columns[nearest], other_rows[nearest]], axis=1) + 0.5
    found[found] = distance <= limit
    return matched, found
