"""Textures that the project draws, for any-style transfer of portraits."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

TEXTURE_PX = 256
Texture = NDArray[np.uint8]


def mosaic(rng: np.random.Generator) -> Texture:
    """Draw small glazed tiles of many colours with dark joints, uint8 ``[256, 256, 3]``."""
    nearest, gap = _cells(_jittered_grid(rng, int(rng.integers(13, 19)), 0.3))
    colours = _colours(rng, int(nearest.max()) + 1, (0.0, 1.0), (0.25, 0.75), (0.45, 0.95))
    light = 1.0 - 0.25 * np.exp(-np.maximum(gap - 1.5, 0.0) / 2.0)
    return _bytes(np.where(gap[..., None] < 1.3, 0.16, colours[nearest] * light[..., None]))


def stained_glass(rng: np.random.Generator) -> Texture:
    """Draw large panes of bright colours in black lead, uint8 ``[256, 256, 3]``."""
    nearest, gap = _cells(rng.uniform(-10, TEXTURE_PX + 10, (int(rng.integers(36, 60)), 2)))
    colours = _colours(rng, int(nearest.max()) + 1, (0.0, 1.0), (0.85, 1.0), (0.6, 1.0))
    glow = 0.75 + 0.35 * _clouds(rng, 24.0)
    return _bytes(np.where(gap[..., None] < 3.0, 0.02, colours[nearest] * glow[..., None]))


def wood(rng: np.random.Generator) -> Texture:
    """Draw planed wood: rings cut lengthwise, pores, uint8 ``[256, 256, 3]``."""
    y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] / TEXTURE_PX
    bend = _clouds(rng, 40.0) - 0.5
    rings = np.sin(2 * np.pi * (rng.uniform(9, 15) * x + rng.uniform(1, 3) * bend + 0.4 * y))
    grain = 0.5 + 0.5 * rings
    fine = _stretched_noise(rng, 1.0, 12.0)
    dark, bright = np.array([0.3, 0.16, 0.07]), np.array([0.74, 0.5, 0.27])
    mix = np.clip(0.65 * grain + 0.35 * fine, 0, 1)[..., None]
    return _bytes(dark + mix * (bright - dark) * rng.uniform(0.85, 1.15))


def embroidery(rng: np.random.Generator) -> Texture:
    """Draw cross-stitches of coloured thread on linen, uint8 ``[256, 256, 3]``."""
    step = int(rng.integers(7, 11))
    y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    patches = _jittered_grid(rng, 6, 0.8)
    nearest, _ = _cells(patches)
    threads = _colours(rng, len(patches), (0.0, 1.0), (0.5, 0.9), (0.4, 0.9))
    across, down = (x % step) / step, (y % step) / step
    thread = np.maximum(1 - np.abs(across - down) * 3.2, 1 - np.abs(1 - across - down) * 3.2)
    linen = np.array([0.86, 0.8, 0.68]) * (0.9 + 0.1 * ((x + y) % 3 == 0))[..., None]
    stitched = threads[nearest] * (0.55 + 0.5 * np.clip(thread, 0, 1))[..., None]
    return _bytes(np.where(thread[..., None] > 0.05, stitched, linen))


def stone_noise(rng: np.random.Generator, size_px: int, scale_px: float) -> NDArray[np.float64]:
    """Draw smooth noise ``[size, size]`` with zero mean and unit deviation and structures about ``scale_px`` wide."""
    from emo_bench.system import opencv as cv2

    white = rng.standard_normal((size_px, size_px))
    noise = np.asarray(cv2.GaussianBlur(white, (0, 0), scale_px, borderType=cv2.BORDER_REFLECT))
    centred = noise - noise.mean()
    return np.asarray(centred / centred.std())


def _jittered_grid(rng: np.random.Generator, side: int, jitter: float) -> NDArray[np.float64]:
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) + 0.5
    return np.asarray((grid + rng.uniform(-jitter, jitter, grid.shape)) * TEXTURE_PX / side)


def _cells(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Compute Voronoi cells of points ``[N, 2]``: each pixel's nearest point, and its distance to the border in px."""
    from scipy.spatial import cKDTree

    pixels = np.stack(np.meshgrid(np.arange(TEXTURE_PX), np.arange(TEXTURE_PX)), axis=-1) + 0.5
    distances, nearest = cKDTree(points).query(pixels, k=2)
    return nearest[..., 0], (distances[..., 1] - distances[..., 0]) / 2


def _colours(
    rng: np.random.Generator,
    count: int,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> NDArray[np.float64]:
    drawn = zip(rng.uniform(*hue, count), rng.uniform(*saturation, count), rng.uniform(*value, count), strict=True)
    return np.array([colorsys.hsv_to_rgb(*one) for one in drawn])


def _clouds(rng: np.random.Generator, scale_px: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(0.5 + 0.25 * stone_noise(rng, TEXTURE_PX, scale_px), 0, 1))


def _stretched_noise(rng: np.random.Generator, across_px: float, along_px: float) -> NDArray[np.float64]:
    from emo_bench.system import opencv as cv2

    noise = cv2.GaussianBlur(rng.standard_normal((TEXTURE_PX, TEXTURE_PX)), (0, 0), across_px, sigmaY=along_px)
    return np.asarray(np.clip(0.5 + 0.25 * noise / noise.std(), 0, 1))


def _bytes(colour: NDArray[np.float64]) -> Texture:
    return np.asarray(np.clip(np.round(colour * 255), 0, 255), dtype=np.uint8)
