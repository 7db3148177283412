"""Describe in numbers what each picture of a bank was rendered from: ``python -m factory.studio.recipe BANK``.

A generator that receives everything that determines a picture can learn the picture by regression. That is not possible
from images alone. The random draws of the supply are repeated from the seeds in the bank's table; nothing is rendered.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import replacing
from emo_bench.progress import track_progress
from emo_bench.system.endings import exit_code
from emo_bench.tracking.head_rig import EXPRESSIONS
from factory.studio.beards import STYLES
from factory.studio.casting import FEMALE_CLOTHES, FEMALE_HAIR, MALE_CLOTHES, MALE_HAIR, Traits
from factory.studio.gaussian_code import code_labels, code_numbers, principal, uncorrelated
from factory.studio.materials import EYES

if TYPE_CHECKING:
    from factory.studio.moments import Moment
    from factory.studio.people import PersonSpec

WALL_CELLS = 8
PHENOTYPE = ("gender", "age", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian")
LOOKS = tuple(name for name in EXPRESSIONS if name.startswith("eyeLook"))
APART = ("eyeBlink", "jawOpen", "mouthSmile")
"""Coded by themselves, as the mean of both sides: what people look at first."""
EXPRESSION_AXES = 20
WALL_AXES = 24


@dataclass(frozen=True)
class Recipe:
    """One picture, described by its causes.

    Attributes:
        labels: choices from lists, by name of the choice.
        numbers: float64 arrays of one axis, by name; colours are the square root of linear light.
    """

    labels: dict[str, str]
    numbers: dict[str, NDArray[np.float64]]


CHOICES: dict[str, tuple[str, ...]] = {
    "hair": ("none", *sorted({*FEMALE_HAIR, *MALE_HAIR})),
    "beard": ("none", *STYLES),
    "eye": tuple(EYES),
    "clothes": (*FEMALE_CLOTHES, *MALE_CLOTHES),
}


def person_recipes(seed: int, count: int) -> list[Recipe]:
    """Return the recipes of the ``count`` pictures that `supply.render_person` makes with ``seed``."""
    from emo_bench.tracking.head_rig import Head, load_head_rig
    from emo_bench.tracking.landmarks import MEDIAPIPE_TO_68
    from factory.studio import anny_people
    from factory.studio.framing import aligned_view, landmarks_camera_m, project_px
    from factory.studio.supply import draw_person

    traits, shots = draw_person(seed, count)
    body, joints = anny_people.rest_body(shots[0][0].identity)
    head = Head(body[load_head_rig().base_vertices], joints)
    recipes = []
    for spec, moment in shots:
        points = landmarks_camera_m(head, moment.pose)
        view = aligned_view(points, 2)
        placed = project_px(points @ view.rotation.T, view.focal_px, view.center_px)[list(MEDIAPIPE_TO_68)]
        recipe = _recipe(spec, traits, moment)
        recipe.numbers["landmarks"] = np.asarray(placed - 1.0, dtype=np.float64).ravel()
        recipe.numbers["view"] = np.array([view.rotation[0, 1], np.log(view.focal_px)], dtype=np.float64)
        recipes.append(recipe)
    return recipes


def _recipe(spec: PersonSpec, traits: Traits, moment: Moment) -> Recipe:
    light, pose = spec.light, moment.pose
    labels = {
        "sex": traits.sex, "age": traits.age, "complexion": traits.skin, "skin": Path(spec.skin).stem,
        "hair": spec.hair or "none", "hair_colour": traits.hair_colour, "beard": traits.beard, "eye": spec.eye,
        "clothes": spec.clothes, "mood": moment.mood, "blobs": str(spec.background.blobs > 0),
        "key_side": str(light.key_direction[0] > 0),
    }  # fmt: skip
    wall = spec.background.paint(4 * WALL_CELLS)
    cells = wall.reshape(WALL_CELLS, 4, WALL_CELLS, 4, 3).mean(axis=(1, 3))
    numbers = {
        "phenotype": [spec.identity.phenotype[name] for name in PHENOTYPE],
        "shape": list(spec.identity.local_changes.values()),
        "skin_tint": np.sqrt(spec.skin_tint), "hair_tint": np.sqrt(spec.hair_tint),
        "clothes_tint": np.sqrt(spec.clothes_tint), "wall": np.sqrt(cells).ravel(),
        "key": light.key_direction, "fill": light.fill_direction,
        "key_colour": light.key_colour, "fill_colour": light.fill_colour, "sky_colour": light.sky_colour,
        "expression": pose.expression,
        "turn": [moment.yaw_deg / 40.0, moment.pitch_deg / 25.0],
        "lean": pose.body_rotvec, "neck": pose.neck_rotvec, "head": pose.head_rotvec,
        "distance": [np.log(moment.pose.body_translation[2])],
    }  # fmt: skip
    return Recipe(labels, {name: np.asarray(value, dtype=np.float64) for name, value in numbers.items()})


def describe(recipes: Sequence[Recipe]) -> NDArray[np.float32]:
    """Return all causes of the pictures, ``[N, D]`` float32: choices as 0 and 1, numbers of unit deviation."""
    columns = []
    for name, known in {**CHOICES, "skin": _labels(recipes, "skin")}.items():
        drawn = np.array([recipe.labels[name] for recipe in recipes])
        columns.append((drawn[:, None] == np.array(sorted(set(known)))[None]).astype(np.float64))
    for name in recipes[0].numbers:
        values = _numbers(recipes, name)
        deviation = values.std(axis=0)
        columns.append(((values - values.mean(axis=0)) / np.maximum(deviation, 1e-6))[:, deviation > 1e-6])
    return np.concatenate(columns, axis=1).astype(np.float32)


def code(recipes: Sequence[Recipe], seed: int = 0) -> NDArray[np.float32]:
    """Return recipes as standard normals, ``[N, K]`` float32; ``seed`` is for drawing within label intervals."""
    rng = np.random.default_rng(seed)
    everyone = np.full(len(recipes), "")

    def labels(name: str, *given: str) -> NDArray[np.float64]:
        return code_labels(np.array([r.labels[name] for r in recipes]), groups(*given), rng)

    def groups(*given: str) -> NDArray[np.str_]:
        return np.array([" ".join(r.labels[one] for one in given) for r in recipes]) if given else everyone

    def numbers(values: NDArray[np.float64], *given: str) -> NDArray[np.float64]:
        return code_numbers(values, groups(*given))

    phenotype = dict(zip(PHENOTYPE, _numbers(recipes, "phenotype").T, strict=True))
    races = np.stack((phenotype["african"], phenotype["asian"]), axis=1)
    body = np.stack([phenotype[name] for name in ("muscle", "weight", "height", "proportions")], axis=1)
    shape = _numbers(recipes, "shape")
    columns = [
        labels("sex"), labels("age"), labels("complexion"), labels("skin", "sex", "age", "complexion"),
        labels("hair", "sex"), labels("hair_colour", "age", "complexion"), labels("beard", "sex"),
        labels("eye", "complexion"), labels("clothes", "sex"), labels("mood"), labels("blobs"), labels("key_side"),
        numbers(phenotype["gender"][:, None], "sex"), numbers(phenotype["age"][:, None], "age"),
        numbers(uncorrelated(races), "complexion"), numbers(body),
        numbers(principal(shape, _independent(shape))),
        numbers(uncorrelated(_numbers(recipes, "skin_tint")), "complexion"),
        numbers(uncorrelated(_numbers(recipes, "hair_tint")), "hair_colour"),
        numbers(_numbers(recipes, "clothes_tint")),
        numbers(principal(_numbers(recipes, "wall"), WALL_AXES), "blobs"),
        numbers(_light(recipes), "key_side"),
        *_moment(recipes, numbers),
    ]  # fmt: skip
    return np.concatenate(columns, axis=1).astype(np.float32)


def _independent(shape: NDArray[np.float64]) -> int:
    """Return in how many directions the shape changes vary, apart from the small asymmetry of paired ones."""
    deviation = np.linalg.svd(shape - shape.mean(axis=0), compute_uv=False) / np.sqrt(len(shape))
    return int((deviation > 0.5 * np.median(deviation)).sum())


def _light(recipes: Sequence[Recipe]) -> NDArray[np.float64]:
    key, fill = _numbers(recipes, "key"), _numbers(recipes, "fill")
    tone, weak = _numbers(recipes, "key_colour"), _numbers(recipes, "fill_colour")
    sky = _numbers(recipes, "sky_colour")
    return np.stack(
        (key[:, 0], key[:, 1], fill[:, 0], fill[:, 1], tone[:, 1], tone[:, 0] / tone[:, 1], weak[:, 1], sky[:, 1]),
        axis=1,
    )


def _moment(recipes: Sequence[Recipe], numbers: object) -> list[NDArray[np.float64]]:
    """Return codes of pose, gaze and expression; gaze is coded as the difference from looking into the camera."""
    assert callable(numbers)
    expression, turn = _numbers(recipes, "expression"), _numbers(recipes, "turn")
    action = dict(zip(EXPRESSIONS, expression.T, strict=True))
    across = action["eyeLookOutLeft"] - action["eyeLookInLeft"] + turn[:, 0]
    up = action["eyeLookUpLeft"] - action["eyeLookDownLeft"] + turn[:, 1] * (25.0 / 35.0)
    poses = np.concatenate([turn, _numbers(recipes, "lean")[:, 1:], _numbers(recipes, "head")[:, 2:]], axis=1)
    apart = [
        np.mean([values for one, values in action.items() if one in (name, f"{name}Left", f"{name}Right")], axis=0)
        for name in APART
    ]
    rest = [name for name in EXPRESSIONS if name not in LOOKS and not name.startswith(APART)]
    axes = principal(np.stack([action[name] for name in rest], axis=1), EXPRESSION_AXES)
    return [
        numbers(uncorrelated(poses)),
        numbers(_numbers(recipes, "distance")),
        numbers(np.stack((across, up), axis=1)),
        numbers(np.stack(apart, axis=1), "mood"),
        numbers(axes, "mood"),
    ]


def _labels(recipes: Sequence[Recipe], name: str) -> tuple[str, ...]:
    return tuple(sorted({recipe.labels[name] for recipe in recipes}))


def _numbers(recipes: Sequence[Recipe], name: str) -> NDArray[np.float64]:
    return np.stack([recipe.numbers[name] for recipe in recipes])


def _work(task: tuple[int, int]) -> list[Recipe]:
    import torch

    torch.set_num_threads(1)
    return person_recipes(*task)


def describe_bank(bank: Path, processes: int) -> Path:
    """Write the recipes of a bank next to it: ``BANK.recipe.npz`` with ``recipe`` [N, D] and ``code`` [N, K], float32.

    Raises:
        UserError: the bank's table is missing.
    """
    import pandas as pd

    table_path = bank.with_suffix(".parquet")
    if not table_path.is_file():
        raise UserError(f"{table_path} is missing: its seeds are needed to draw the recipes again")
    counts = pd.read_parquet(table_path, columns=["person"])["person"].value_counts(sort=False)
    tasks = [(int(seed), int(count)) for seed, count in counts.items()]  # type: ignore[call-overload]
    recipes: list[Recipe] = []
    with (
        track_progress(len(tasks), "studio: recipes") as advance,
        multiprocessing.get_context("spawn").Pool(processes) as pool,
    ):
        for found in pool.imap(_work, tasks, chunksize=8):
            recipes += found
            advance(1)
    out = bank.with_suffix(".recipe.npz")
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.savez(file, recipe=describe(recipes), code=code(recipes))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    parser = argparse.ArgumentParser(prog="python -m factory.studio.recipe", description=__doc__)
    parser.add_argument("bank", type=Path, help="the .npy file of a bank, with its .parquet next to it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    return exit_code(lambda: describe_bank(given.bank, given.processes))


if __name__ == "__main__":
    sys.exit(main())
