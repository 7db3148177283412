"""Draw random people, lights, places and moments for the supply, and describe them in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from factory.studio.anny_people import Identity, random_identity
from factory.studio.beards import STYLES, Beard
from factory.studio.materials import EYES
from factory.studio.people import Background, PersonSpec
from factory.studio.raytrace import Light

FEMALE_HAIR = ("bob02", "long01", "ponytail01", "ponytail01", "long01", "short02", "short04")
MALE_HAIR = ("short01", "short02", "short03", "short04")
HAIR_STYLES = {"bob02": "bob", "long01": "long", "ponytail01": "ponytail"}  # all other styles are short
FEMALE_CLOTHES = ("female_casualsuit01",)
MALE_CLOTHES = ("male_casualsuit02", "male_elegantsuit01")
# Linear tints of hair, by name.
HAIR_COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.018, 0.015, 0.013),
    "brown": (0.1, 0.055, 0.03),
    "red": (0.27, 0.07, 0.022),
    "blond": (0.45, 0.31, 0.15),
    "grey": (0.3, 0.3, 0.305),
}
# Linear tints that make the light skins' photographs tanned.
MEDIUM_SKIN = (0.72, 0.56, 0.44)
AGES = (("young", 0.72), ("middle-aged", 0.86), ("old", 1.01))


@dataclass(frozen=True)
class Traits:
    """A person's appearance, in words.

    Attributes:
        sex: "female" or "male".
        age: "young", "middle-aged" or "old".
        skin: "light", "medium" or "dark".
        hair_style: "short", "bob", "long", "ponytail" or "bald".
        hair_colour: a name of :data:`HAIR_COLOURS`, or "none".
        beard: "none" or one of :data:`~factory.studio.beards.STYLES`.
        eye_colour: "blue", "green" or "brown".
    """

    sex: str
    age: str
    skin: str
    hair_style: str
    hair_colour: str
    beard: str
    eye_colour: str


def random_person(rng: np.random.Generator) -> tuple[PersonSpec, Traits]:
    """Draw an adult with matching skin, hair, clothes and surroundings."""
    drawn = random_identity(rng, strength=0.19)
    sex = "female" if drawn.phenotype["gender"] < 0.5 else "male"
    gender = abs(rng.normal(0.0, 0.08))
    shape = {
        **drawn.phenotype,
        "gender": float(gender if sex == "female" else 1.0 - gender),
        "age": float(rng.uniform(0.58, 1.0)),
    }
    identity = Identity(shape, drawn.local_changes)
    age = next(name for name, limit in AGES if shape["age"] < limit)
    skin = _complexion(rng, shape["african"], shape["asian"])
    tone = rng.uniform(0.8, 1.08) * (1.0 + rng.normal(0.0, 0.03, 3))
    if skin == "medium":
        tone = tone * np.array(MEDIUM_SKIN) * rng.uniform(0.85, 1.15)
    bald = rng.random() < (0.03 if sex == "female" else 0.14)
    hair = None if bald else str(rng.choice(FEMALE_HAIR if sex == "female" else MALE_HAIR))
    colour = _hair_colour(rng, age, skin)
    tint = np.array(HAIR_COLOURS[colour]) * rng.uniform(0.7, 1.35) * (1.0 + rng.normal(0.0, 0.04, 3))
    beard = "none"
    if sex == "male" and rng.random() < 0.45:
        beard = str(rng.choice(STYLES, p=(0.3, 0.4, 0.15, 0.15)))
    eye = str(
        rng.choice(EYES, p={"dark": (0.02, 0.03, 0.95), "medium": (0.08, 0.12, 0.8)}.get(skin, (0.35, 0.25, 0.4)))
    )
    spec = PersonSpec(
        identity=identity,
        skin=skin_name(age, "dark" if skin == "dark" else "light", sex, rng),
        skin_tint=_triple(np.clip(tone, 0.2, 1.2)),
        hair=hair,
        hair_tint=_triple(tint),
        eye=eye,
        brow_tint=_triple(0.5 * tint + 0.01),
        clothes=str(rng.choice(FEMALE_CLOTHES if sex == "female" else MALE_CLOTHES)),
        clothes_tint=_triple(rng.uniform(0.2, 1.3, 3)),
        background=random_background(rng),
        light=random_light(rng),
        beard=None if beard == "none" else Beard(beard, _triple(0.65 * tint)),
    )
    style = "bald" if hair is None else HAIR_STYLES.get(hair, "short")
    traits = Traits(sex, age, skin, style, "none" if bald else colour, beard, eye.removesuffix("_eye"))
    return spec, traits


def elsewhere(spec: PersonSpec, rng: np.random.Generator) -> PersonSpec:
    """Return the same person with another light and another wall."""
    return replace(spec, light=random_light(rng), background=random_background(rng))


def _complexion(rng: np.random.Generator, african: float, asian: float) -> str:
    dark = 0.06 + 0.8 * african
    medium = (1.0 - dark) * (0.2 + 0.4 * asian)
    return str(rng.choice(("light", "medium", "dark"), p=(1.0 - dark - medium, medium, dark)))


def _hair_colour(rng: np.random.Generator, age: str, skin: str) -> str:
    """Draw a hair colour: mostly grey for old people; black or brown for most people of medium and dark skin."""
    if rng.random() < {"young": 0.0, "middle-aged": 0.15, "old": 0.75}[age]:
        return "grey"
    shares = {"dark": (0.75, 0.2, 0.02, 0.03), "medium": (0.5, 0.38, 0.06, 0.06)}
    return str(rng.choice(("black", "brown", "red", "blond"), p=shares.get(skin, (0.2, 0.32, 0.2, 0.28))))


def skin_name(age: str, complexion: str, sex: str, rng: np.random.Generator) -> str:
    """Draw a skin for this age, complexion and sex, or one of the nearest age that has any."""
    names = _skins()
    for nearest in (age.replace("-", "").removesuffix("d"), "middleage", "young", "old"):
        found = [name for name in names if name.startswith(f"{nearest}_{complexion}skinned_{sex}_diffuse")]
        if found:
            return f"skins/textures/{rng.choice(found)}"
    raise FileNotFoundError(f"there is no skin for {complexion} {sex}")


@lru_cache(maxsize=1)
def _skins() -> tuple[str, ...]:
    from factory.studio.makehuman import makehuman_folder

    return tuple(sorted(path.name for path in (makehuman_folder() / "skins" / "textures").glob("*.png")))


def random_light(rng: np.random.Generator) -> Light:
    """Draw a key light from above on one side, a weaker fill light from the other, and soft room light."""
    side = rng.choice((-1.0, 1.0))
    key = _unit(np.array([side * rng.uniform(0.25, 0.9), -rng.uniform(0.3, 0.8), -1.0]))
    fill = _unit(np.array([-side * rng.uniform(0.5, 1.0), -rng.uniform(0.0, 0.4), -1.0]))
    warm = rng.uniform(-0.08, 0.08)
    tone = np.array([1.0 + warm, 1.0, 1.0 - warm])
    power = rng.uniform(0.65, 1.0)
    room = rng.uniform(0.25, 0.45)
    return Light(
        _triple(key),
        _triple(power * tone),
        _triple(fill),
        _triple(rng.uniform(0.1, 0.28) * tone[::-1]),
        _triple(room * np.array([0.95, 1.0, 1.06])),
        _triple(0.45 * room * np.array([1.05, 1.0, 0.92])),
    )


def random_background(rng: np.random.Generator) -> Background:
    """Draw a plain wall in two cases of five, otherwise one with soft blobs; most walls have muted colours."""
    hue = rng.uniform(0.02, 0.6, 3)
    hue = hue.mean() + rng.uniform(0.0, 0.75) ** 1.5 * (hue - hue.mean())
    shade = rng.uniform(0.6, 1.2)
    blobs = 0 if rng.random() < 0.4 else int(rng.integers(2, 9))
    blob = rng.uniform(0.02, 0.7, 3)
    blob = blob.mean() + 0.6 * (blob - blob.mean())
    return Background(_triple(hue), _triple(np.clip(hue * shade, 0, 1)), _triple(blob), blobs, int(rng.integers(2**31)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
