"""Prepare textures for people: uniform lids, irises of three colours, hair whose colour comes only from a tint."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from factory.studio.makehuman import load_texture

SKIN_PX = 1024
LID_SHARE = 0.8
LID_FULL_M = 0.004
# Linear light, at the mean brightness of the iris.
BROWN_IRIS = np.array([0.07, 0.033, 0.015], dtype=np.float32)
EYES = ("blue_eye", "green_eye", "brown_eye")


def lid_mask(faces: np.ndarray, face_uv: np.ndarray, blink_m: np.ndarray) -> np.ndarray:
    """Return a mask of the upper lids in a skin texture.

    Args:
        faces, face_uv: ``[F, 3]`` and ``[F, 3, 2]`` of the face's skin.
        blink_m: ``[V]``, the distance that each vertex moves in a blink, metres.

    Returns:
        float32 ``[SKIN_PX, SKIN_PX]`` in [0, 1], soft at its edge.
    """
    from PIL import Image, ImageDraw
    from scipy import ndimage

    image = Image.new("L", (SKIN_PX, SKIN_PX))
    draw = ImageDraw.Draw(image)
    share = np.clip(blink_m[faces].mean(axis=1) / LID_FULL_M, 0.0, 1.0)
    for k in np.flatnonzero(share > 0.05):
        draw.polygon([(float(u) * SKIN_PX, float(v) * SKIN_PX) for u, v in face_uv[k]], int(255 * share[k]))
    return np.asarray(ndimage.gaussian_filter(np.asarray(image, dtype=np.float32) / 255.0, 2.0))


def even_lids(skin: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Make the lids' colour similar to the skin around them.

    Skins are photographs with open eyes: the few dark texels of the folded lid become a large patch when it closes.
    """
    from scipy import ndimage

    rgb = skin[..., :3]
    around = np.clip(ndimage.gaussian_filter(mask, 10.0) * 3.0, 0.0, 1.0) * (mask < 0.02)
    weight = ndimage.gaussian_filter(around, 14.0)[..., None] + 1e-6
    tone = ndimage.gaussian_filter(rgb * around[..., None], (14.0, 14.0, 0.0)) / weight
    local = ndimage.gaussian_filter(rgb, (3.0, 3.0, 0.0))
    gain = np.clip(tone / np.maximum(local, 1e-3), 0.7, 6.0)
    share = LID_SHARE * np.clip(mask, 0.0, 1.0)[..., None]
    return np.concatenate((rgb * (1.0 - share + share * gain), skin[..., 3:]), axis=-1).astype(np.float32)


@lru_cache(maxsize=4)
def load_eye(name: str) -> np.ndarray:
    """Return one of :data:`EYES`, linear RGBA ``[512, 512, 4]``; irises are darkened, brown is made from blue."""
    source = "blue_eye" if name == "brown_eye" else name
    rgba = load_texture(f"eyes/materials/{source}.png").copy()
    rgb = rgba[..., :3]
    grey = rgb.mean(axis=-1, keepdims=True)
    iris = np.clip((np.maximum(rgb[..., 1:2], rgb[..., 2:3]) - 1.25 * rgb[..., :1]) / (grey + 1e-4) * 2.0, 0.0, 1.0)
    typical = float(np.median(grey[iris > 0.5]))
    calm = 0.45 * grey + 0.55 * rgb
    wanted = grey / typical * BROWN_IRIS if name == "brown_eye" else 0.8 * calm
    rgba[..., :3] = rgb * (1.0 - iris) + wanted * iris
    return rgba


@lru_cache(maxsize=16)
def load_hair(name: str, size_px: int = 1024) -> np.ndarray:
    """Convert a hair texture to brightness around one, so that only the tint sets the colour; RGBA ``[S, S, 4]``.

    Strands keep their contrast; the slow change from light roots to dark ends is reduced.
    """
    from scipy import ndimage

    texture = load_texture(name, size_px)
    luminance = texture[..., :3].mean(axis=-1)
    solid = texture[..., 3] > 0.5
    if not solid.any():
        return texture
    sigma = size_px / 50.0
    slow = ndimage.gaussian_filter(luminance * solid, sigma) / (ndimage.gaussian_filter(solid * 1.0, sigma) + 1e-4)
    slow = np.maximum(slow, 1e-4)
    typical = float(np.median(slow[solid]))
    shade = np.clip(luminance / slow, 0.1, 3.0) ** 0.8 * np.clip(slow / typical, 0.1, 10.0) ** 0.35
    return np.concatenate((np.repeat(shade[..., None], 3, axis=-1), texture[..., 3:]), axis=-1).astype(np.float32)
