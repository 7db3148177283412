"""The changes that the studio renders exactly: which there are, and how each alters a person, a pose, a light, a look.

A change has a *kind* and a *value*, both words: ``("hair colour", "red")``. `wordings` turns it into an instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from emo_bench.tracking.head_rig import EXPRESSIONS
from factory.diffusion.looks import Colour, Look
from factory.studio.anny_people import Identity
from factory.studio.beards import Beard
from factory.studio.casting import HAIR_COLOURS, MEDIUM_SKIN, Traits, skin_name
from factory.studio.moments import MOOD_ACTIONS
from factory.studio.motion import add_action
from factory.studio.people import PersonSpec
from factory.studio.raytrace import Light
from factory.studio.scene import Pose

# Linear tints; the supply's natural ones, and dyes.
HAIR: dict[str, Colour] = {
    **HAIR_COLOURS,
    "white": (0.75, 0.74, 0.72), "blue": (0.03, 0.08, 0.4), "pink": (0.55, 0.12, 0.3), "green": (0.04, 0.25, 0.06),
}  # fmt: skip
CLOTHES: dict[str, Colour] = {
    "red": (0.75, 0.05, 0.05), "blue": (0.05, 0.13, 0.7), "green": (0.06, 0.45, 0.1), "yellow": (0.9, 0.7, 0.08),
    "black": (0.05, 0.05, 0.055), "white": (1.7, 1.7, 1.7), "grey": (0.4, 0.4, 0.41), "purple": (0.3, 0.07, 0.5),
    "orange": (0.95, 0.3, 0.04), "pink": (1.0, 0.35, 0.55), "brown": (0.25, 0.12, 0.05),
}  # fmt: skip
WALLS: dict[str, Colour] = {
    "red": (0.45, 0.04, 0.04), "blue": (0.05, 0.14, 0.5), "green": (0.06, 0.3, 0.09), "yellow": (0.75, 0.55, 0.08),
    "black": (0.012, 0.012, 0.012), "white": (0.9, 0.9, 0.9), "grey": (0.22, 0.22, 0.22), "purple": (0.2, 0.06, 0.35),
    "orange": (0.75, 0.25, 0.04), "pink": (0.75, 0.3, 0.42), "brown": (0.2, 0.1, 0.05),
}  # fmt: skip
LAMPS: dict[str, Colour] = {"warm": (1.2, 0.94, 0.62), "cold": (0.72, 0.95, 1.3), "dim": (0.36, 0.36, 0.38)}
SIDES = {"left": -1.0, "right": 1.0}
# Factors on the colours of skin whose photographs are light.
SKINS: dict[str, Colour] = {"light": (1.0, 1.0, 1.0), "medium": MEDIUM_SKIN, "dark": (0.27, 0.18, 0.125)}
BEARDS = {"full beard": 0.5, "moustache": 0.2, "goatee": 0.15, "stubble": 0.15}
CUTS: dict[str, tuple[str, ...]] = {
    "short": ("short01", "short02", "short03", "short04"), "bob": ("bob02",), "long": ("long01",),
    "ponytail": ("ponytail01",),
}  # fmt: skip
AGES = {"young": (0.58, 0.66), "old": (1.0, 1.0)}
CLOSED_ABOVE, SMILING_ABOVE, SERIOUS_BELOW = 0.75, 0.45, 0.15

Specified = tuple[str, str, PersonSpec, dict[str, str]]
"""Kind, value, the changed person, and the words of the traits that are other ones now."""


def rebuilt(spec: PersonSpec, traits: Traits, rng: np.random.Generator) -> list[Specified]:
    """Draw two changes for which the person's mesh is built anew: cut, age or, for men, beard."""
    kinds = ["haircut", "age"] + (["beard"] if traits.sex == "male" else [])
    chosen = sorted(rng.permutation(kinds)[:2]) if traits.beard == "none" else ["beard", str(rng.choice(kinds[:2]))]
    make = {"haircut": _haircut, "age": _age, "beard": _beard}
    return [make[kind](spec, traits, rng) for kind in chosen]


def _haircut(spec: PersonSpec, traits: Traits, rng: np.random.Generator) -> Specified:
    shares = {"short": 0.3, "bob": 0.15, "long": 0.2, "ponytail": 0.15, "bald": 0.2}
    shares.pop(traits.hair_style)
    value = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    if value == "bald":
        return "haircut", value, replace(spec, hair=None), {"hair_style": value, "hair_colour": "none"}
    colour = traits.hair_colour if traits.hair_colour != "none" else nearest_hair(spec.hair_tint)
    return (
        "haircut", value, replace(spec, hair=str(rng.choice(CUTS[value]))),
        {"hair_style": value, "hair_colour": colour},
    )  # fmt: skip


def _age(spec: PersonSpec, traits: Traits, rng: np.random.Generator) -> Specified:
    value = {"young": "old", "old": "young"}.get(traits.age, str(rng.choice(("young", "old"))))
    shape = {**spec.identity.phenotype, "age": float(rng.uniform(*AGES[value]))}
    skin = skin_name(value, "dark" if traits.skin == "dark" else "light", traits.sex, rng)
    changed = replace(spec, identity=Identity(shape, spec.identity.local_changes), skin=skin)
    words = {"age": value}
    colour = ""
    if value == "old" and traits.hair_colour != "grey" and rng.random() < 0.75:
        colour = "grey"
    if value == "young" and traits.hair_colour == "grey":
        colour = str(rng.choice(("black", "brown", "brown", "blond")))
    if colour:
        changed = with_hair(changed, colour, rng)
        words |= {"hair_colour": colour if spec.hair else "none"}
    return "age", value, changed, words


def _beard(spec: PersonSpec, traits: Traits, rng: np.random.Generator) -> Specified:
    if spec.beard is not None:
        return "beard", "none", replace(spec, beard=None), {"beard": "none"}
    value = str(rng.choice(list(BEARDS), p=list(BEARDS.values())))
    return "beard", value, replace(spec, beard=Beard(value, _times(spec.hair_tint, 0.65))), {"beard": value}


def with_hair(spec: PersonSpec, colour: str, rng: np.random.Generator) -> PersonSpec:
    """Return the person with hair, brows and beard of a colour of `HAIR`, related as in the supply."""
    tint = hair_tint(colour, rng)
    beard = None if spec.beard is None else replace(spec.beard, tint=_times(tint, 0.65))
    return replace(spec, hair_tint=tint, brow_tint=brow_tint(tint), beard=beard)


def hair_tint(colour: str, rng: np.random.Generator) -> Colour:
    """Draw a tint of a colour of `HAIR`."""
    drawn = np.array(HAIR[colour]) * rng.uniform(0.75, 1.3) * (1.0 + rng.normal(0.0, 0.04, 3))
    return float(drawn[0]), float(drawn[1]), float(drawn[2])


def brow_tint(hair: Colour) -> Colour:
    """Return the tint of brows that belong to hair of a tint."""
    return 0.5 * hair[0] + 0.01, 0.5 * hair[1] + 0.01, 0.5 * hair[2] + 0.01


def nearest_hair(tint: Colour) -> str:
    """Return the natural colour that a tint is nearest to."""
    return min(HAIR_COLOURS, key=lambda name: float(np.abs(np.sqrt(HAIR_COLOURS[name]) - np.sqrt(tint)).sum()))


def hair_look(spec: PersonSpec, colour: str, rng: np.random.Generator) -> Look:
    """Return a look with hair, brows and beard of another colour."""
    new = with_hair(spec, colour, rng)
    gains = {"hair": _ratio(new.hair_tint, spec.hair_tint), "brows": _ratio(new.brow_tint, spec.brow_tint)}
    if spec.beard is not None and new.beard is not None:
        gains["beard"] = _ratio(new.beard.tint, spec.beard.tint)
    return Look(gains)


def skin_look(traits: Traits, value: str) -> Look:
    """Return a look with another complexion: the light of the skin changes as its tint would."""
    return Look({"skin": _ratio(SKINS[value], SKINS[traits.skin])})


def sidelight(light: Light, value: str, rng: np.random.Generator) -> Light:
    """Return a hard light from one side of the picture, with little else."""
    key = np.array([SIDES[value] * rng.uniform(0.85, 1.0), -rng.uniform(0.1, 0.35), -rng.uniform(0.3, 0.5)])
    key = key / np.linalg.norm(key)
    fill = (-SIDES[value] * 0.8, -0.1, -0.6)
    return Light(
        (float(key[0]), float(key[1]), float(key[2])), _times(light.key_colour, 1.15), fill,
        _times(light.fill_colour, 0.12), _times(light.sky_colour, 0.35), _times(light.ground_colour, 0.35),
    )  # fmt: skip


def smiled(pose: Pose, smile: float, rng: np.random.Generator) -> tuple[str, Pose]:
    """Return "smiling" and the pose with a smile, or, if it smiles already, "serious" and the pose without one."""
    changed = pose.expression.astype(np.float64)
    if smile >= SMILING_ABOVE:
        for name, value in MOOD_ACTIONS["smile"].items():
            add_action(changed, name, -value)
        return "serious", replace(pose, expression=np.clip(changed, 0.0, 1.0).astype(np.float32))
    for k, name in enumerate(EXPRESSIONS):
        if name.startswith(("mouthFrown", "mouthPucker", "mouthFunnel", "mouthPress", "mouthRoll", "mouthShrug")):
            changed[k] *= 0.2
    strength = rng.uniform(0.75, 1.0)
    for name, value in MOOD_ACTIONS["smile"].items():
        add_action(changed, name, strength * value)
    return "smiling", replace(pose, expression=np.clip(changed, 0.0, 1.0).astype(np.float32))


def blinked(pose: Pose, closed: bool) -> tuple[str, Pose]:
    """Return "closed" and the pose with closed eyes, or "open" and the pose with open ones if they are closed."""
    changed = pose.expression.copy()
    for side in ("Left", "Right"):
        changed[EXPRESSIONS.index(f"eyeBlink{side}")] = 0.0 if closed else 1.0
        if not closed:
            changed[EXPRESSIONS.index(f"eyeWide{side}")] = changed[EXPRESSIONS.index(f"eyeSquint{side}")] = 0.0
    return "open" if closed else "closed", replace(pose, expression=changed)


def other(table: Mapping[str, object], value: str, rng: np.random.Generator) -> str:
    """Draw a key of a table other than ``value``."""
    return str(rng.choice([key for key in table if key != value]))


def _times(colour: Colour, factor: float) -> Colour:
    return factor * colour[0], factor * colour[1], factor * colour[2]


def _ratio(new: Colour, old: Colour) -> Colour:
    return new[0] / old[0], new[1] / old[1], new[2] / old[2]
