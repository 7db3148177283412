"""The multiresolution hash grid of Instant NGP (Mueller et al. 2022, section 3), as two Warp kernels.

A point in the unit cube is looked up in ``levels`` grids of growing resolution; each gives the trilinear
interpolation of learned features at the eight corners of the point's cell. Grids that fit into the table are
stored densely, finer ones by a spatial hash. Only the table gets gradients: INSTA needs none for positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from baselines.warp_kernels import kernels
from emo_bench.tracking.raycast import warp


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, sides: Tensor) -> Tensor:  # type: ignore[override]
        wp = warp()
        levels, _, width = table.shape
        points = points.detach().contiguous()
        features = torch.zeros(len(points), levels * width, device=table.device)
        if len(points):
            wp.launch(
                kernels().look_up,
                dim=(len(points), levels),
                inputs=[wp.from_torch(points, dtype=wp.vec3), wp.from_torch(sides), wp.from_torch(table.detach())],
                outputs=[wp.from_torch(features)],
                device=wp.device_from_torch(table.device),
            )
        ctx.save_for_backward(points, sides)
        ctx.shape = table.shape
        return features

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:  # type: ignore[override]
        wp = warp()
        points, sides = ctx.saved_tensors
        table_gradient = torch.zeros(ctx.shape, device=gradient.device)
        if len(points):
            wp.launch(
                kernels().scatter,
                dim=(len(points), ctx.shape[0]),
                inputs=[
                    wp.from_torch(points, dtype=wp.vec3),
                    wp.from_torch(sides),
                    wp.from_torch(gradient.contiguous()),
                ],
                outputs=[wp.from_torch(table_gradient)],
                device=wp.device_from_torch(gradient.device),
            )
        return None, table_gradient, None


class HashGrid(nn.Module):
    """Learned features of points in the unit cube.

    Args:
        levels, features: number of grids, and number of features per grid.
        log2_rows: each grid's table has ``2 ** log2_rows`` rows.
        coarsest, finest: number of cells along a side of the first and the last grid; it grows geometrically between
            them.
    """

    def __init__(self, levels: int, features: int, log2_rows: int, coarsest: int, finest: int) -> None:
        super().__init__()
        growth = (finest / coarsest) ** (1.0 / max(levels - 1, 1))
        sides = [int(coarsest * growth**level + 1e-6) + 1 for level in range(levels)]
        self.sides: Tensor
        self.register_buffer("sides", torch.tensor(sides, dtype=torch.int32), persistent=False)
        self.table = nn.Parameter(torch.empty(levels, 2**log2_rows, features).uniform_(-1e-4, 1e-4))
        self.out_features = levels * features

    def forward(self, points: Tensor) -> Tensor:
        """Return features ``[N, levels * features]`` of points ``[N, 3]`` in [0, 1]; outside, those of the border."""
        found: Tensor = _Lookup.apply(points, self.table, self.sides)
        return found
