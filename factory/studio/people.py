"""The people in the studio: specifications drawn by seed or chosen by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.studio.anny_people import Identity
from factory.studio.beards import Beard
from factory.studio.raytrace import Light


@dataclass(frozen=True)
class Background:
    """A wall: two linear colours from top to bottom, and soft blobs of a third drawn from ``seed``."""

    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    blob: tuple[float, float, float]
    blobs: int
    seed: int

    def paint(self, size_px: int) -> np.ndarray:
        """Draw the wall as linear RGB ``[S, S, 3]`` float32."""
        rows = np.linspace(0.0, 1.0, size_px)[:, None, None]
        wall = np.array(self.top) * (1.0 - rows) + np.array(self.bottom) * rows
        wall = np.repeat(wall, size_px, axis=1)
        rng = np.random.default_rng(self.seed)
        grid = (np.arange(size_px) + 0.5) / size_px
        for _ in range(self.blobs):
            x, y, radius = rng.uniform(-0.1, 1.1), rng.uniform(-0.1, 1.1), rng.uniform(0.08, 0.35)
            share = np.exp(-(((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / radius**2))[..., None]
            wall = wall * (1.0 - 0.6 * share) + np.array(self.blob) * rng.uniform(0.5, 1.3) * 0.6 * share
        return wall.astype(np.float32)


@dataclass(frozen=True)
class PersonSpec:
    """A person's shape, materials and surroundings. Asset names are relative to MakeHuman's asset folder."""

    identity: Identity
    skin: str
    skin_tint: tuple[float, float, float]
    hair: str | None
    hair_tint: tuple[float, float, float]
    eye: str
    brow_tint: tuple[float, float, float]
    clothes: str
    clothes_tint: tuple[float, float, float]
    background: Background
    light: Light
    beard: Beard | None = None
