"""The radiance field in canonical space: hash grid, density and colour networks, expression for the mouth."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.gpu_packages import tiny_cuda_nn
from baselines.insta.config import HashGridKind, InstaConfig
from baselines.insta.hash_grid import HashGrid
from emo_bench.errors import UserError
from emo_bench.tracking.head_rig import EXPRESSIONS

GEOMETRY_FEATURES = 15
DIRECTION_FEATURES = 16
# Density is exp(x + this) per box side: a new field is half opaque across the shell, so all of it gets gradients.
DENSITY_OFFSET = 3.5


class RadianceField(nn.Module):
    """Density and colour of canonical points.

    Args:
        config: sizes, and the implementation of the hash grid.
        low, side: corner ``[3]`` and side of the canonical cube, metres.
    """

    def __init__(self, config: InstaConfig, low: np.ndarray, side: float) -> None:
        super().__init__()
        self.low: Tensor
        self.side: Tensor
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32))
        self.register_buffer("side", torch.tensor(float(side)))
        self.grid = _grid(config)
        self.expression = nn.Linear(len(EXPRESSIONS), config.expression_width, bias=False)
        inputs = config.levels * config.features + config.expression_width
        width = config.width
        self.density = _network(inputs, width, 2, 1 + GEOMETRY_FEATURES)
        self.colour = _network(GEOMETRY_FEATURES + DIRECTION_FEATURES, width, 3, 3)

    def unit(self, points: Tensor) -> Tensor:
        """Map canonical points ``[M, 3]`` in metres to the unit cube, clamped."""
        return ((points - self.low) / self.side).clamp(0.0, 1.0)

    def forward(self, unit: Tensor, directions: Tensor, expression: Tensor, mouth: Tensor) -> tuple[Tensor, Tensor]:
        """Compute density and colour.

        Args:
            unit: ``[M, 3]`` in the unit cube.
            directions: ``[M, 3]`` canonical viewing directions, of any length.
            expression: ``[M, E]`` codes from :meth:`encode`.
            mouth: ``[M]`` bool; elsewhere the expression has no effect.

        Returns:
            Density ``[M]`` in 1 / metres and colours ``[M, 3]`` in [0, 1].
        """
        code = expression * mouth[:, None]
        features = self.density(torch.cat((self.grid(unit), code), dim=1))
        density = torch.exp((features[:, 0] + DENSITY_OFFSET).clamp(max=12.0)) / self.side
        seen = torch.cat((features[:, 1:], spherical_harmonics(nn.functional.normalize(directions, dim=1))), dim=1)
        return density, torch.sigmoid(self.colour(seen))

    def encode(self, expression: Tensor) -> Tensor:
        """Convert ARKit coefficients ``[B, 52]`` to codes ``[B, E]``."""
        code: Tensor = self.expression(expression)
        return code


def _network(inputs: int, width: int, hidden: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in range(hidden):
        layers += [nn.Linear(inputs if layer == 0 else width, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def resolved_hash_grid(wanted: HashGridKind, device: str) -> HashGridKind:
    """Return the hash grid's implementation on ``device``; ``auto`` is tiny-cuda-nn on a GPU if it works, else Warp.

    Raises:
        UserError: tiny-cuda-nn is requested and not available.
    """
    usable = device.startswith("cuda") and tiny_cuda_nn() is not None
    if wanted == "tiny-cuda-nn" and not usable:
        raise UserError(
            f"insta: hash_grid=tiny-cuda-nn needs a GPU and the package tinycudann, which device {device} does not "
            f"have; use --set hash_grid=warp, for which the avatar is fitted anew"
        )
    if wanted == "auto":
        return "tiny-cuda-nn" if usable else "warp"
    return wanted


class TinyCudaGrid(nn.Module):
    """The hash grid of tiny-cuda-nn, for any number of points."""

    def __init__(self, config: InstaConfig) -> None:
        super().__init__()
        growth = (config.finest / config.coarsest) ** (1.0 / max(config.levels - 1, 1))
        encoding: dict[str, Any] = {
            "otype": "HashGrid",
            "n_levels": config.levels,
            "n_features_per_level": config.features,
            "log2_hashmap_size": config.log2_rows,
            "base_resolution": config.coarsest,
            "per_level_scale": growth,
        }
        package = tiny_cuda_nn()
        assert package is not None
        self.encoding: nn.Module = package.Encoding(3, encoding)
        self._width = config.levels * config.features

    def forward(self, points: Tensor) -> Tensor:
        """Return features ``[N, levels * features]`` of points ``[N, 3]`` in [0, 1]."""
        if len(points) == 0:
            return points.new_zeros(0, self._width)
        features: Tensor = self.encoding(points)
        return features.float()


def _grid(config: InstaConfig) -> nn.Module:
    if config.hash_grid == "tiny-cuda-nn":
        return TinyCudaGrid(config)
    return HashGrid(config.levels, config.features, config.log2_rows, config.coarsest, config.finest)


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Return real spherical harmonics up to degree 3 (four bands) of unit vectors ``[M, 3]``: ``[M, 16]``."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    bands = (
        0.28209479 * torch.ones_like(x),
        0.48860251 * y,
        0.48860251 * z,
        0.48860251 * x,
        1.09254843 * x * y,
        1.09254843 * y * z,
        0.31539157 * (3.0 * zz - 1.0),
        1.09254843 * x * z,
        0.54627422 * (xx - yy),
        0.59004359 * y * (3.0 * xx - yy),
        2.89061144 * x * y * z,
        0.45704580 * y * (5.0 * zz - 1.0),
        0.37317633 * z * (5.0 * zz - 3.0),
        0.45704580 * x * (5.0 * zz - 1.0),
        1.44530572 * z * (xx - yy),
        0.59004359 * x * (xx - 3.0 * yy),
    )
    return torch.stack(bands, dim=-1)
