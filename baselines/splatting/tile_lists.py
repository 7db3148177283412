"""Which Gaussians a tile of the picture shows, from near to far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.splatting.drawing_kernels import drawing_kernels
from emo_bench.tracking.raycast import warp


@dataclass(frozen=True)
class Tiling:
    """Sides in pixels of a tile, and of the square block of pixels that one thread owns; a tile is whole blocks."""

    tile_px: int
    block_px: int


# On a CPU a thread owns a whole tile, whose pixels fit into the fastest memory.
CPU_TILING, CUDA_TILING = Tiling(32, 32), Tiling(16, 1)


@dataclass(frozen=True)
class TileLists:
    """The lists of all tiles, one after another.

    Attributes:
        starts: ``[T + 1]`` int32, where the list of each tile starts; the last one is the number of pairs M.
        listed: ``[M]`` int32, Gaussians.
        tiling: the sides of tiles and blocks.
    """

    starts: Tensor
    listed: Tensor
    tiling: Tiling


@torch.no_grad()
def tile_lists(bounds: Tensor, depth: Tensor, width_px: int, height_px: int, tiling: Tiling) -> TileLists:
    """Sort Gaussians into tiles.

    The Gaussians are sorted by depth, written once for each tile that they touch, and sorted by tile. Both sorts keep
    the order of equals: equally far Gaussians stay in the order of their numbers.

    Args:
        bounds: ``[N, 4]`` int32, see ``Footprints``.
        depth: ``[N]`` metres.
        width_px, height_px: size of the picture.
        tiling: the sides of tiles and blocks.
    """
    wp, kernels = warp(), drawing_kernels()
    count, device, tile_px = len(depth), depth.device, tiling.tile_px
    across, down = -(-width_px // tile_px), -(-height_px // tile_px)
    place = wp.device_from_torch(device)
    _, order = _sorted(depth, torch.arange(count, dtype=torch.int32, device=device))
    tiles = torch.zeros(count, dtype=torch.int32, device=device)
    held = [wp.from_torch(bounds, dtype=wp.vec4i), wp.from_torch(order)]
    wp.launch(kernels.count, dim=count, inputs=[*held, tile_px], outputs=[wp.from_torch(tiles)], device=place)
    ends = torch.cumsum(tiles, 0, dtype=torch.int32)
    pairs = int(ends[-1]) if count else 0
    tile_of, gaussian_of = (torch.empty(pairs, dtype=torch.int32, device=device) for _ in range(2))
    if pairs:
        wp.launch(
            kernels.pair,
            dim=count,
            inputs=[*held, wp.from_torch(ends), tile_px, across],
            outputs=[wp.from_torch(tile_of), wp.from_torch(gaussian_of)],
            device=place,
        )
        tile_of, gaussian_of = _sorted(tile_of, gaussian_of)
    numbers = torch.arange(across * down + 1, dtype=torch.int32, device=device)
    return TileLists(torch.searchsorted(tile_of, numbers, out_int32=True), gaussian_of, tiling)


def _sorted(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Sort keys and their values by key; equal keys keep their order."""
    wp, count = warp(), len(keys)
    # Warp sorts in place and uses the second half of the arrays for itself.
    held = [torch.cat((array, torch.empty_like(array))) for array in (keys, values)]
    if count:
        wp.utils.radix_sort_pairs(wp.from_torch(held[0]), wp.from_torch(held[1]), count)
    return held[0][:count].contiguous(), held[1][:count].contiguous()
