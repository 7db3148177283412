"""Paint each style: ``paint(name, heads, seeds)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from factory.clip import materials, textures
from factory.clip.style_transfer import Heads, any_style, fixed_style, require_style_networks
from factory.clip.styles import NAMES, PHOTO

# By the number of the network's fixed style.
FIXED = (
    "oil-painting", "brush-drawing", "cartoon", "expressionist", "pastel", "impressionist", "batik", "fauvist",
    "coloured-ink", "pebbles", "red-chalk", "etching", "watercolour", "pointillist", "silverpoint", "cubist",
    "crayon", "tapestry", "woodcut", "van-gogh", "red-lacquer", "pop-art", "fresco", "gouache", "ukiyo-e", "engraving",
)  # fmt: skip
TEXTURES: dict[str, Callable[[np.random.Generator], textures.Texture]] = {
    "mosaic": textures.mosaic,
    "stained-glass": textures.stained_glass,
    "wood-carving": textures.wood,
    "embroidery": textures.embroidery,
}
SINGLE: dict[str, Callable[[Heads, np.random.Generator], Heads]] = {
    "pencil-sketch": materials.pencil_sketch,
    "coloured-pencil": materials.coloured_pencil,
    "airbrush": materials.airbrush,
    "digital-painting": materials.digital_painting,
    "hdr": materials.hdr,
    "bronze": materials.bronze,
    "gold": materials.gold,
    "silver": materials.silver,
    "marble": materials.marble,
    "granite": materials.granite,
    "terracotta": materials.terracotta,
    "black-and-white": materials.black_and_white,
    "comic": materials.comic,
}
assert {PHOTO, *FIXED, *TEXTURES, *SINGLE} == set(NAMES)


def paint(name: str, heads: Heads, seeds: Sequence[int], group_seed: int) -> Heads:
    """Paint heads uint8 ``[N, S, S, 3]`` RGB in the named style; the same seeds give the same bytes.

    Args:
        name: one of `NAMES`.
        heads: one or more heads.
        seeds: one for each head; it selects the head's variant of the style.
        group_seed: seed of the part that the heads of one call share, the texture of any-style transfer.
    """
    require_style_networks()
    if name == PHOTO:
        return heads.copy()
    if name in TEXTURES:
        shared = np.random.default_rng(group_seed)
        # The wood style needs a relief too: texture alone leaves a face that is only tinted.
        carved = np.stack([materials.carved(head) for head in heads] if name == "wood-carving" else list(heads))
        return any_style(carved, TEXTURES[name](shared), float(shared.uniform(0.85, 1.0)))
    rngs = [np.random.default_rng((seed, NAMES.index(name))) for seed in seeds]
    if name in SINGLE:
        return np.stack([SINGLE[name](head, rng) for head, rng in zip(heads, rngs, strict=True)])
    return np.stack([_fixed(name, head, rng) for head, rng in zip(heads, rngs, strict=True)])


def camera(head: Heads, rng: np.random.Generator, like: Heads | None = None) -> Heads:
    """Change a head uint8 ``[S, S, 3]`` as another camera would: exposure, colour cast, contrast, softness, noise.

    With ``like``, contrast changes about that picture's mean, so that two pictures of one shot get the same change.
    """
    from emo_bench.system import opencv as cv2

    gamma = rng.uniform(0.75, 1.35)
    picture = (head / 255.0) ** gamma
    middle = (picture if like is None else (like / 255.0) ** gamma).mean()
    picture = middle + rng.uniform(0.75, 1.2) * (picture - middle) + rng.uniform(-0.08, 0.08)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + rng.uniform(0.6, 1.35) * (picture - grey)
    picture = picture * (1.0 + rng.normal(0.0, 0.05, 3))
    softness_px = rng.uniform(0.0, 0.9) * head.shape[0] / 128
    if softness_px > 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), softness_px)
    picture = picture + rng.normal(0.0, rng.uniform(0.0, 0.02), picture.shape)
    return np.asarray(np.clip(np.round(picture * 255), 0, 255), dtype=np.uint8)


def _fixed(name: str, head: NDArray[np.uint8], rng: np.random.Generator) -> Heads:
    side = head.shape[0]
    size_px = 4 * round(side * float(rng.choice((1.0, 1.25, 1.5), p=(0.5, 0.3, 0.2))) / 4)
    painted = fixed_style(head, FIXED.index(name), size_px)
    if name == "cartoon" and rng.random() < 0.5:
        return materials.with_colours_of(painted, head)
    return painted
