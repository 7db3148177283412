"""The occupied cells of canonical space (Mueller et al. 2022, appendix C), learned from the training rays."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# A sample with a smaller opacity is not visible.
LEAST_OPACITY = 0.01
DECAY = 0.9


class OccupancyGrid(nn.Module):
    """The greatest recent opacity in each cell of the unit cube.

    Args:
        cells: number of cells along a side.
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self._cells = cells
        self.opacity: Tensor
        self.register_buffer("opacity", torch.full((cells**3,), 0.05))

    def occupied(self, unit: Tensor) -> Tensor:
        """Return whether points ``[M, 3]`` of the unit cube lie in occupied cells: ``[M]`` bool."""
        return self.opacity[self._cell(unit)] > LEAST_OPACITY

    @torch.no_grad()
    def observe(self, unit: Tensor, opacity: Tensor) -> None:
        """Decay the stored opacities, and add the opacities ``[M]`` of samples at ``[M, 3]``."""
        self.opacity.mul_(DECAY)
        self.opacity.scatter_reduce_(0, self._cell(unit), opacity, "amax")

    def _cell(self, unit: Tensor) -> Tensor:
        at = (unit * self._cells).long().clamp_(0, self._cells - 1)
        return at[:, 0] + self._cells * (at[:, 1] + self._cells * at[:, 2])
