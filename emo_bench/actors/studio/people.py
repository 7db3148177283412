"""Who stands in the studio: specifications of people, drawn by seed or chosen by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emo_bench.actors.studio.materials import EYES
from emo_bench.actors.studio.raytrace import Light
from emo_bench.tracking.anny_people import Identity, random_identity

FEMALE_HAIR = ("bob02", "long01", "ponytail01", "ponytail01", "long01", "short02", "short04")
MALE_HAIR = ("short01", "short02", "short03", "short04")
CLOTHES = ("male_casualsuit02", "male_elegantsuit01", "female_casualsuit01")


@dataclass(frozen=True)
class Background:
    """A wall: two linear colours from top to bottom, and soft blobs of a third drawn from ``seed``."""

    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    blob: tuple[float, float, float]
    blobs: int
    seed: int

    def paint(self, size_px: int) -> np.ndarray:
        """Linear RGB ``[S, S, 3]`` float32."""
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


def random_light(rng: np.random.Generator) -> Light:
    """A key light from above on one side, a weaker fill from the other, and a soft room."""
    side = rng.choice((-1.0, 1.0))
    key = _unit(np.array([side * rng.uniform(0.25, 0.9), -rng.uniform(0.3, 0.8), -1.0]))
    fill = _unit(np.array([-side * rng.uniform(0.5, 1.0), -rng.uniform(0.0, 0.4), -1.0]))
    warm = rng.uniform(-0.08, 0.08)
    tone = np.array([1.0 + warm, 1.0, 1.0 - warm])
    power = rng.uniform(0.65, 1.0)
    room = rng.uniform(0.25, 0.45)
    return Light(
        _triple(key), _triple(power * tone), _triple(fill), _triple(rng.uniform(0.1, 0.28) * tone[::-1]),
        _triple(room * np.array([0.95, 1.0, 1.06])), _triple(0.45 * room * np.array([1.05, 1.0, 0.92])),
    )  # fmt: skip


def random_background(rng: np.random.Generator) -> Background:
    """A plain wall in two cases of five, else one with soft blobs."""
    hue = rng.uniform(0.03, 0.6, 3)
    hue = hue.mean() + rng.uniform(0.15, 0.8) * (hue - hue.mean())
    shade = rng.uniform(0.6, 1.2)
    blobs = 0 if rng.random() < 0.4 else int(rng.integers(2, 9))
    return Background(
        _triple(hue), _triple(np.clip(hue * shade, 0, 1)), _triple(rng.uniform(0.02, 0.7, 3)), blobs,
        int(rng.integers(2**31)),
    )  # fmt: skip


def random_person(rng: np.random.Generator) -> PersonSpec:
    """Draw an adult with matching skin, hair, clothes and surroundings."""
    identity = random_identity(rng)
    shape = identity.phenotype
    female = shape["gender"] < 0.5
    dark = rng.random() < shape["african"] * 0.9 + 0.1
    age = "young" if shape["age"] < 0.72 else "middleage" if shape["age"] < 0.86 else "old"
    tone = rng.uniform(0.78, 1.08)
    hair = str(rng.choice(FEMALE_HAIR if female else MALE_HAIR))
    bald = not female and rng.random() < 0.12
    grey = age == "old" and rng.random() < 0.7
    tint = hair_colour(rng, grey, dark)
    return PersonSpec(
        identity=identity,
        skin=skin_name(age, "dark" if dark else "light", "female" if female else "male", rng),
        skin_tint=_triple(np.clip(tone * (1.0 + rng.normal(0.0, 0.03, 3)), 0.5, 1.2)),
        hair=None if bald else hair,
        hair_tint=tint,
        eye=str(rng.choice(EYES, p=(0.05, 0.05, 0.9) if dark else (0.35, 0.25, 0.4))),
        brow_tint=_triple(0.5 * np.array(tint) + 0.01),
        clothes=str(rng.choice(CLOTHES[2:] if female else CLOTHES[:2])),
        clothes_tint=_triple(rng.uniform(0.25, 1.3, 3)),
        background=random_background(rng),
        light=random_light(rng),
    )


def skin_name(age: str, complexion: str, sex: str, rng: np.random.Generator) -> str:
    """One of the skins that exist for this age, complexion and sex, or the nearest age's."""
    from emo_bench.actors.studio.makehuman import makehuman_folder

    folder = makehuman_folder() / "skins" / "textures"
    for nearest in (age, "middleage", "young", "old"):
        names = sorted(p.name for p in folder.glob(f"{nearest}_{complexion}skinned_{sex}_diffuse*.png"))
        if names:
            return f"skins/textures/{rng.choice(names)}"
    raise FileNotFoundError(f"{folder} has no skin for {complexion} {sex}")


def hair_colour(rng: np.random.Generator, grey: bool, dark: bool) -> tuple[float, float, float]:
    """A tint for the hair texture's brightness: black, brown, red, blond or grey; mostly black where ``dark``."""
    if grey:
        return _triple(np.array([1.0, 1.0, 1.02]) * rng.uniform(0.18, 0.4))
    colours = np.array([[0.02, 0.016, 0.013], [0.07, 0.04, 0.024], [0.14, 0.08, 0.045], [0.2, 0.07, 0.03],
                        [0.42, 0.29, 0.15]])  # fmt: skip
    return _triple(colours[rng.integers(2 if dark else len(colours))] * rng.uniform(0.75, 1.3))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
