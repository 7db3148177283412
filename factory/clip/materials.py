"""Styles made by OpenCV's filters or by light on a material; input and output are heads, uint8 ``[S, S, 3]`` RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.pictures.palettes import recoloured
from factory.clip.style_transfer import Heads, fixed_style
from factory.clip.textures import stone_noise

Plane = NDArray[np.float64]
LUMA = np.array([0.299, 0.587, 0.114])
RED_CHALK, SILVERPOINT = 10, 14
BRONZE_PALETTE = ("#140b06", "#4a2a12", "#8c5a28", "#d09a55", "#f6deb0")
MARBLE_PALETTE = ("#3a3a40", "#8f8f96", "#d6d4d2", "#fffefa")
PENCIL_PALETTE = ("#1c1c20", "#8a8a8e", "#e8e6e2", "#fbfaf7")


def pencil_sketch(head: Heads, rng: np.random.Generator) -> Heads:
    """Graphite on paper: OpenCV's pencil sketch, or the silverpoint network's lines in grey."""
    from emo_bench.system import opencv as cv2

    if rng.random() < 0.35:
        lines = fixed_style(head, SILVERPOINT, head.shape[0])
        return recoloured(lines, PENCIL_PALETTE, float(rng.uniform(1.3, 1.7)))
    grey, _ = cv2.pencilSketch(
        _bgr(head),
        sigma_s=float(rng.uniform(10, 40)),
        sigma_r=float(rng.uniform(0.05, 0.12)),
        shade_factor=float(rng.uniform(0.03, 0.06)),
    )
    return np.repeat(grey[..., None], 3, axis=2)


def coloured_pencil(head: Heads, rng: np.random.Generator) -> Heads:
    """OpenCV's pencil sketch in colour."""
    from emo_bench.system import opencv as cv2

    _, colour = cv2.pencilSketch(
        _bgr(head),
        sigma_s=float(rng.uniform(20, 60)),
        sigma_r=float(rng.uniform(0.06, 0.12)),
        shade_factor=float(rng.uniform(0.04, 0.06)),
    )
    return _rgb(colour)


def airbrush(head: Heads, rng: np.random.Generator) -> Heads:
    """OpenCV's edge-preserving filter, repeated until skin is a smooth gradient, with saturated colours."""
    from emo_bench.system import opencv as cv2

    smooth: Any = _bgr(head)
    for _ in range(2):
        smooth = cv2.edgePreservingFilter(
            smooth, flags=1, sigma_s=float(rng.uniform(12, 20)), sigma_r=float(rng.uniform(0.14, 0.2))
        )
    return _saturated(_rgb(smooth), float(rng.uniform(1.7, 2.1)), 1.3)


def digital_painting(head: Heads, rng: np.random.Generator) -> Heads:
    """OpenCV's stylization: flat areas with drawn edges."""
    from emo_bench.system import opencv as cv2

    return _rgb(cv2.stylization(_bgr(head), sigma_s=float(rng.uniform(30, 60)), sigma_r=float(rng.uniform(0.4, 0.6))))


def hdr(head: Heads, rng: np.random.Generator) -> Heads:
    """OpenCV's detail enhancement, as strong as in tone-mapped photographs."""
    from emo_bench.system import opencv as cv2

    sharp = cv2.detailEnhance(_bgr(head), sigma_s=float(rng.uniform(8, 14)), sigma_r=float(rng.uniform(0.3, 0.45)))
    sharp = cv2.detailEnhance(sharp, sigma_s=4.0, sigma_r=float(rng.uniform(0.25, 0.4)))
    return _saturated(_rgb(sharp), float(rng.uniform(0.8, 1.1)), 1.0)


def bronze(head: Heads, rng: np.random.Generator) -> Heads:
    """Dark brown metal with warm highlights, by relief or by the red chalk network's strokes."""
    if rng.random() < 0.35:
        photo = head.astype(np.float64)
        strokes = 0.7 * fixed_style(head, RED_CHALK, head.shape[0]) + 0.3 * photo
        return recoloured(np.round(strokes).astype(np.uint8), BRONZE_PALETTE, float(rng.uniform(1.1, 1.4)))
    return _cast(head, rng, BRONZE_PALETTE, contrast=1.5, gloss=0.3, grain=0.02, dim=0.08)


def gold(head: Heads, rng: np.random.Generator) -> Heads:
    """Polished yellow metal."""
    palette = ("#3a2200", "#8a5a00", "#d9a313", "#ffd95a", "#fffbe0")
    return _cast(head, rng, palette, contrast=1.7, gloss=0.5, grain=0.0, dim=0.0)


def silver(head: Heads, rng: np.random.Generator) -> Heads:
    """Polished grey metal: hard contrasts, with reflections of sky and ground."""
    palette = ("#0a0c10", "#5f6670", "#2c3138", "#b4bcc6", "#7d858f", "#f4f8ff")
    return _cast(head, rng, palette, contrast=1.6, gloss=0.45, grain=0.0, dim=0.0)


def marble(head: Heads, rng: np.random.Generator) -> Heads:
    """White stone with grey veins, by relief or by the silverpoint network's lines."""
    if rng.random() < 0.35:
        lines = 0.5 * fixed_style(head, SILVERPOINT, head.shape[0]) + 0.5 * head.astype(np.float64)
        return recoloured(np.round(lines).astype(np.uint8), MARBLE_PALETTE, float(rng.uniform(1.1, 1.4)))
    side = head.shape[0]
    veins = np.exp(-np.abs(stone_noise(rng, side, side / 14)) * rng.uniform(14, 22)) * 0.3
    return _cast(head, rng, MARBLE_PALETTE, contrast=1.5, gloss=0.15, grain=0.01, dim=-0.12, dark=veins)


def granite(head: Heads, rng: np.random.Generator) -> Heads:
    """Rough grey stone with black and white specks."""
    side = head.shape[0]
    specks = 0.05 * stone_noise(rng, side, 0.5 * side / 96) + 0.04 * stone_noise(rng, side, 1.2 * side / 96)
    palette = ("#1d1e20", "#55585b", "#8d8f90", "#c2c2bf")
    return _cast(head, rng, palette, contrast=1.5, gloss=0.0, grain=0.0, dim=0.02, dark=specks)


def terracotta(head: Heads, rng: np.random.Generator) -> Heads:
    """Matt fired clay, orange-red."""
    palette = ("#4f1f10", "#93412a", "#c4683f", "#e09a6c")
    return _cast(head, rng, palette, contrast=1.6, gloss=0.05, grain=0.02, dim=-0.03)


def black_and_white(head: Heads, rng: np.random.Generator) -> Heads:
    """A photograph without colour."""
    mix = LUMA + rng.normal(0.0, 0.06, 3)
    grey = (head / 255.0) @ (mix / mix.sum())
    return _bytes(np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2))


def comic(head: Heads, rng: np.random.Generator) -> Heads:
    """A few flat colours, ink outlines, and dots in the dark parts."""
    from emo_bench.system import opencv as cv2

    side = head.shape[0]
    flat = np.asarray(cv2.bilateralFilter(cv2.bilateralFilter(head, 7, 60, 5), 7, 60, 5), dtype=np.uint8)
    vivid = _saturated(flat, float(rng.uniform(1.7, 2.1)), 1.25)
    steps = int(rng.integers(3, 5))
    hsv = cv2.cvtColor(vivid, cv2.COLOR_RGB2HSV).astype(np.float64)
    hsv[..., 2] = (np.floor(hsv[..., 2] / 255.001 * steps) + 0.75) / steps * 255
    colours = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB) / 255.0
    level = _level(head)
    step_px = max(side / 26.0, 3.0)
    y, x = np.mgrid[:side, :side]
    wave = np.sin(np.pi * (x + y) / step_px) * np.sin(np.pi * (x - y) / step_px)
    colours = np.where(((level < 0.42) & (wave > 0.35))[..., None], colours * 0.45, colours)
    soft = cv2.GaussianBlur(level, (0, 0), side / 110)
    ink = (cv2.GaussianBlur(level, (0, 0), side / 48) - soft) > rng.uniform(0.02, 0.032)
    return _bytes(np.where(ink[..., None], 0.04, colours))


def carved(head: Heads) -> Heads:
    """The head as a grey relief, the input of the wood style."""
    relief = _relief(head, 0.5)
    return _bytes(np.repeat(np.clip(relief, 0, 1)[..., None], 3, axis=2))


def with_colours_of(painted: Heads, head: Heads) -> Heads:
    """Combine the painted picture's brightness with the head's colours."""
    from emo_bench.system import opencv as cv2

    luma = cv2.cvtColor(painted, cv2.COLOR_RGB2YCrCb)[..., :1]
    colour = cv2.cvtColor(head, cv2.COLOR_RGB2YCrCb)[..., 1:]
    return np.asarray(cv2.cvtColor(np.concatenate([luma, colour], axis=2), cv2.COLOR_YCrCb2RGB))


def _cast(
    head: Heads,
    rng: np.random.Generator,
    palette: tuple[str, ...],
    *,
    contrast: float,
    gloss: float,
    grain: float,
    dim: float,
    dark: Plane | float = 0.0,
) -> Heads:
    """Show the head as one material: relief, highlights, grain, and the material's palette by brightness."""
    side = head.shape[0]
    relief = _relief(head, float(rng.uniform(0.45, 0.75)))
    level = 0.5 + contrast * rng.uniform(0.85, 1.15) * (relief - 0.5) - dim
    level = level + gloss * rng.uniform(0.7, 1.3) * np.clip(relief - 0.6, 0, 1) ** 2 * 12
    level = level + grain * stone_noise(rng, side, 0.6 * side / 96) - dark
    shifts = 1.0 + rng.normal(0.0, 0.03, 3)
    laid = recoloured(_bytes(np.repeat(np.clip(level, 0, 1)[..., None], 3, axis=2)), palette)
    return _bytes(np.clip(laid / 255.0 * shifts, 0, 1))


def _relief(head: Heads, albedo_kept: float) -> Plane:
    """Compute brightness ``[S, S]`` about 0.5 of a head made of one material, lit from the top left.

    Dark hair and clothes become nearly as bright as the rest: only a share of large-scale brightness is kept.
    """
    from emo_bench.system import opencv as cv2

    side = head.shape[0]
    level = cv2.GaussianBlur(_level(head), (0, 0), side / 160)
    large = cv2.GaussianBlur(level, (0, 0), side / 9)
    spread = np.sqrt(cv2.GaussianBlur((level - large) ** 2, (0, 0), side / 9)) + 0.06
    evened = 0.5 + 0.16 * (level - large) / spread + 0.35 * albedo_kept * (large - large.mean())
    slope = np.roll(level, (1, 1), (0, 1)) - np.roll(level, (-1, -1), (0, 1))
    return np.asarray(evened + 0.6 * cv2.GaussianBlur(slope, (0, 0), side / 120))


def _level(head: Heads) -> Plane:
    return np.asarray(head @ LUMA / 255.0)


def _saturated(head: Heads, gain: float, contrast: float) -> Heads:
    grey = _level(head)[..., None]
    colour = grey + gain * (head / 255.0 - grey)
    middle = float(np.median(grey))
    return _bytes(np.clip(middle + contrast * (colour - middle), 0, 1))


def _bytes(colour: Plane) -> Heads:
    return np.asarray(np.clip(np.round(colour * 255), 0, 255), dtype=np.uint8)


def _bgr(head: Heads) -> Heads:
    return np.ascontiguousarray(head[..., ::-1])


def _rgb(picture_bgr: Any) -> Heads:
    return np.ascontiguousarray(picture_bgr[..., ::-1], dtype=np.uint8)
