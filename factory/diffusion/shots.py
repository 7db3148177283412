"""Render one person: two shots, each as it is, with exact changes, and painted in a few styles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from factory.clip.painters import camera as camera_of
from factory.clip.painters import paint
from factory.clip.styles import NAMES, PHOTO
from factory.diffusion import changes
from factory.diffusion.looks import Camera, Frame, Look, compose, trace
from factory.studio.actors import CENTER_PX, FOCAL_PX, HOME_M, SIZE_PX
from factory.studio.casting import Traits
from factory.studio.framing import aligned_view, landmarks_camera_m
from factory.studio.moments import Moment
from factory.studio.people import PersonSpec
from factory.studio.raytrace import TexelStore
from factory.studio.scene import Person, Pose
from factory.studio.supply import draw_person

FRAMINGS = ("aligned", "capture")
"""The FFHQ crop, and head and shoulders as in the bundled captures; one shot of each."""
STYLES_PER_SHOT = 6
OTHER_CAMERA = 0.6
SEEN = 0.05
"""Least share of the picture that clothes fill for a change of their colour; aligned heads show a collar at most."""
STYLED = tuple(name for name in NAMES if name != PHOTO)

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """What a picture shows, and from which picture of its person it was made.

    Attributes:
        person, shot, framing: seed of the person, number and framing of the shot.
        of: number, within the person, of the picture that this one is a change of; its own number for a shot's first.
        kind, value: the change, in the words of `changes`; "" for a shot's first picture, "style" for painted ones.
        before: the value of the same kind in the picture ``of``, or "" where no word fits.
        sex, age, skin, hair_style, hair_colour, beard, smile, smiling: as in docs/studio.md.
        style: a name of `factory.clip.styles`.
    """

    person: int
    shot: int
    framing: str
    of: int
    kind: str
    value: str
    before: str
    sex: str
    age: str
    skin: str
    hair_style: str
    hair_colour: str
    beard: str
    smile: float
    smiling: bool
    style: str = PHOTO


@dataclass(frozen=True)
class _Shot:
    seed: int
    number: int
    spec: PersonSpec
    moment: Moment
    camera: Camera
    pose: Pose
    traits: Traits
    smile: float


def render_shots(seed: int, size_px: int, turn: int) -> tuple[Pictures, list[Row]]:
    """Render one person's pictures, uint8 ``[N, S, S, 3]``, and their rows.

    Args:
        seed: seed of the person and of all changes.
        size_px: side of the pictures.
        turn: number of the person in the bank; styles are dealt in turn, so that each is equally frequent.
    """
    rng = np.random.default_rng((seed, 23))
    traits, drawn = draw_person(seed, len(FRAMINGS))
    people = [Person(drawn[0][0], _store())]
    specified = changes.rebuilt(drawn[0][0], traits, rng)
    people += [Person(spec, _store()) for _, _, spec, _ in specified]
    pictures: list[Pictures] = []
    rows: list[Row] = []
    for number, (spec, moment) in enumerate(drawn):
        shot = _shot(seed, number, spec, moment, people[0], traits, size_px, rng)
        first = len(pictures)
        taken = list(_photos(shot, people, specified, size_px, rng))
        other_camera, camera_seed = rng.random() < OTHER_CAMERA, int(rng.integers(2**31))
        like = taken[0][0]
        for picture, row in taken:
            seen = camera_of(picture, np.random.default_rng(camera_seed), like) if other_camera else picture
            pictures.append(seen)
            rows.append(replace(row, of=first))
        for k in range(STYLES_PER_SHOT):
            style = dealt_style((turn * len(FRAMINGS) + number) * STYLES_PER_SHOT + k)
            of = first + (0 if rng.random() < 0.5 else int(rng.integers(len(taken))))
            paint_seed = int(rng.integers(2**31))
            pictures.append(paint(style, pictures[of][None], (paint_seed,), paint_seed)[0])
            rows.append(replace(rows[of], of=of, kind="style", value=style, before=PHOTO, style=style))
    return np.stack(pictures), rows


def dealt_style(number: int) -> str:
    """Return the style of the bank's painted picture of that number: each block of 43 has every style once."""
    block, place = divmod(number, len(STYLED))
    return STYLED[int(np.random.default_rng((block, 31)).permutation(len(STYLED))[place])]


@lru_cache(maxsize=1)
def _store() -> TexelStore:
    return TexelStore()


def _shot(
    seed: int,
    number: int,
    spec: PersonSpec,
    moment: Moment,
    person: Person,
    traits: Traits,
    size_px: int,
    rng: np.random.Generator,
) -> _Shot:
    pose = moment.pose
    if FRAMINGS[number] == "aligned":
        view = aligned_view(landmarks_camera_m(person.head, pose), size_px)
        camera = Camera(view.rotation, view.focal_px, view.center_px)
    else:
        home = np.array(HOME_M) + rng.uniform(-1.0, 1.0, 3) * np.array([0.025, 0.02, 0.08])
        pose = replace(pose, body_translation=home.astype(np.float32))
        scale = size_px / SIZE_PX
        center_px = (CENTER_PX[0] * scale, CENTER_PX[1] * scale)
        camera = Camera(np.eye(3, dtype=np.float32), FOCAL_PX * scale * float(rng.uniform(0.92, 1.12)), center_px)
    return _Shot(seed, number, spec, moment, camera, pose, traits, moment.action("mouthSmile"))


def _photos(
    shot: _Shot, people: list[Person], specified: list[changes.Specified], size_px: int, rng: np.random.Generator
) -> Iterator[tuple[Pictures, Row]]:
    """Yield the shot's photos, first the one that all others are changes of."""
    spec, traits = shot.spec, shot.traits
    wall, light = spec.background.paint(size_px), spec.light

    def traced(person: Person, pose: Pose, lit: bool = False) -> Frame:
        return trace(person, pose, shot.camera, sidelight if lit else light, wall)

    side = str(rng.choice(list(changes.SIDES)))
    sidelight = changes.sidelight(light, side, rng)
    base = traced(people[0], shot.pose)
    yield compose(base), _row(shot, "", "", "")
    for kind, value, look, before in _looks(shot, rng):
        if kind == "clothes" and base.share("clothes") < SEEN:
            continue
        words = {"hair_colour": value} if kind == "hair colour" else {"skin": value} if kind == "skin" else {}
        yield compose(base, look), _row(shot, kind, value, before, words)
    expression, pose = changes.smiled(shot.pose, shot.smile, rng)
    mood = "smiling" if shot.smile >= changes.SMILING_ABOVE else "serious"
    before = mood if mood == "smiling" or shot.smile < changes.SERIOUS_BELOW else ""
    smiling = expression == "smiling"
    row = replace(_row(shot, "smile", expression, before), smiling=smiling, smile=0.9 if smiling else 0.05)
    yield compose(traced(people[0], pose)), row
    if rng.random() < 0.5:
        closed = shot.moment.action("eyeBlink") >= changes.CLOSED_ABOVE
        eyes, pose = changes.blinked(shot.pose, closed)
        yield compose(traced(people[0], pose)), _row(shot, "eyes", eyes, "closed" if closed else "open")
    else:
        yield compose(traced(people[0], shot.pose, lit=True)), _row(shot, "light", side, "")
    for person, (kind, value, _, words) in zip(people[1:], specified, strict=True):
        before = {"haircut": traits.hair_style, "age": traits.age, "beard": traits.beard}[kind]
        before = "" if before == "middle-aged" else before
        yield compose(traced(person, shot.pose)), _row(shot, kind, value, before, words)


def _looks(shot: _Shot, rng: np.random.Generator) -> Iterator[tuple[str, str, Look, str]]:
    """Draw changes of colour: two of the hair, one of the clothes, one of the wall, one of skin or lamp."""
    spec, traits = shot.spec, shot.traits
    if spec.hair is not None:
        others = [name for name in changes.HAIR if name != traits.hair_colour]
        for colour in rng.choice(others, 2, replace=False):
            yield "hair colour", str(colour), changes.hair_look(spec, str(colour), rng), traits.hair_colour
    cloth = changes.other(changes.CLOTHES, "", rng)
    yield "clothes", cloth, Look(cloth=changes.CLOTHES[cloth]), ""
    wall = changes.other(changes.WALLS, "", rng)
    yield "wall", wall, Look(wall=changes.WALLS[wall]), ""
    if traits.skin != "dark" and rng.random() < 0.5:
        skin = changes.other(changes.SKINS, traits.skin, rng)
        yield "skin", skin, changes.skin_look(traits, skin), traits.skin
    else:
        lamp = changes.other(changes.LAMPS, "", rng)
        yield "light", lamp, Look(light=changes.LAMPS[lamp]), ""


def _row(shot: _Shot, kind: str, value: str, before: str, words: Mapping[str, str] | None = None) -> Row:
    told = {**asdict(shot.traits), **(words or {})}
    told.pop("eye_colour")
    smiling = shot.smile >= changes.SMILING_ABOVE
    return Row(
        shot.seed, shot.number, FRAMINGS[shot.number], 0, kind, value, before,
        smile=shot.smile, smiling=smiling, **told,
    )  # fmt: skip
