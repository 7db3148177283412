"""Render any number of aligned heads for priors: ``python -m factory.studio.supply --help``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.errors import UserError
from emo_bench.methods.seeds import parse_seed
from emo_bench.progress import track_progress
from emo_bench.system.endings import exit_code

if TYPE_CHECKING:
    from factory.studio.casting import Traits
    from factory.studio.moments import Moment
    from factory.studio.people import PersonSpec
    from factory.studio.raytrace import TexelStore

POSES_PER_PERSON = 6
HELD_OUT_EVERY = 16
SMILING = 0.45
MOUTH_OPEN = 0.25
EYES_CLOSED = 0.75

Row = dict[str, object]


@dataclass(frozen=True)
class BankPlan:
    """Content of a bank: pictures of ``people`` people, ``POSES_PER_PERSON`` each, ``size_px`` wide, by ``seed``."""

    people: int
    size_px: int
    seed: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array of pictures."""
        return (self.people * POSES_PER_PERSON, self.size_px, self.size_px, 3)

    def person_seed(self, person: int) -> int:
        """Return the seed of all random draws for one person."""
        return self.seed * 1_000_003 + person


def render_person(seed: int, size_px: int, count: int = POSES_PER_PERSON) -> tuple[np.ndarray, list[Row]]:
    """Render one random person in ``count`` poses, expressions, lights and surroundings.

    Returns:
        FFHQ-aligned pictures, uint8 ``[count, S, S, 3]``, and their attributes (docs/studio.md).
    """
    from factory.studio.framing import aligned_view, landmarks_camera_m
    from factory.studio.scene import Person

    traits, shots = draw_person(seed, count)
    person = Person(shots[0][0], _store())
    pictures = np.empty((count, size_px, size_px, 3), dtype=np.uint8)
    rows: list[Row] = []
    for k, (placed, moment) in enumerate(shots):
        view = aligned_view(landmarks_camera_m(person.head, moment.pose), size_px)
        vertices, normals, face_uv = person.posed(moment.pose)
        pictures[k], _ = person.tracer.render(
            vertices @ view.rotation.T, normals @ view.rotation.T, face_uv, placed.light,
            placed.background.paint(size_px), view.focal_px, view.center_px, samples=4,
        )  # fmt: skip
        rows.append({"person": seed, **asdict(traits), **_moment_row(moment), **_spec_row(placed)})
    return pictures, rows


def draw_person(seed: int, count: int) -> tuple[Traits, list[tuple[PersonSpec, Moment]]]:
    """Draw one random person, and ``count`` times the surroundings and the moment."""
    from factory.studio.casting import elsewhere, random_person
    from factory.studio.moments import random_moment

    rng = np.random.default_rng((seed, 7))
    spec, traits = random_person(rng)
    shots: list[tuple[PersonSpec, Moment]] = []
    for k in range(count):
        moment = random_moment(rng)
        shots.append((elsewhere(spec, rng) if k else spec, moment))
    return traits, shots


@lru_cache(maxsize=1)
def _store() -> TexelStore:
    from factory.studio.raytrace import TexelStore

    return TexelStore()


def _moment_row(moment: Moment) -> Row:
    smile = moment.action("mouthSmile")
    return {
        "yaw_deg": moment.yaw_deg,
        "pitch_deg": moment.pitch_deg,
        "mood": moment.mood,
        "smile": smile,
        "smiling": smile >= SMILING,
        "mouth_open": moment.action("jawOpen") >= MOUTH_OPEN,
        "eyes_closed": moment.action("eyeBlink") >= EYES_CLOSED,
        "distance_m": float(moment.pose.body_translation[2]),
        "expression": moment.pose.expression.tolist(),
    }


def _spec_row(spec: PersonSpec) -> Row:
    return {
        "anny_gender": spec.identity.phenotype["gender"],
        "anny_age": spec.identity.phenotype["age"],
        "skin_asset": spec.skin,
        "hair_asset": spec.hair or "none",
        "clothes": spec.clothes,
        "hair_rgb": list(spec.hair_tint),
        "clothes_rgb": list(spec.clothes_tint),
    }


def _work(task: tuple[int, int]) -> tuple[np.ndarray, list[Row]]:
    import torch

    torch.set_num_threads(1)  # the shapes' bits must not depend on the number of threads that sum them
    return render_person(*task)


def make_bank(out: Path, plan: BankPlan, processes: int) -> None:
    """Write a bank: ``out`` (``.npy``, uint8 ``[N, S, S, 3]``) and its attributes next to it (``.parquet``).

    The same plan gives the same bytes for any number of processes. Both files appear when they are complete; after an
    interruption the same call continues with the missing people.

    Raises:
        UserError: the unfinished bank at ``out`` has another plan.
    """
    import pandas as pd

    out.parent.mkdir(parents=True, exist_ok=True)
    pictures_part, rows_part = (out.with_name(f".{out.stem}.part{end}") for end in (".npy", ".jsonl"))
    attributes = _resume(pictures_part, rows_part, plan)
    mode = "r+" if pictures_part.exists() else "w+"
    bank = np.lib.format.open_memmap(pictures_part, mode=mode, dtype=np.uint8, shape=plan.shape)
    done = len(attributes) // POSES_PER_PERSON
    tasks = [(plan.person_seed(person), plan.size_px) for person in range(done, plan.people)]
    label = "studio: aligned heads"
    with track_progress(len(bank), label) as advance, rows_part.open("a", encoding="utf-8") as file:
        advance(len(attributes))
        for person, (pictures, rows) in enumerate(_results(tasks, processes), start=done):
            first = person * POSES_PER_PERSON
            held_out = person % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
            bank[first : first + len(rows)] = pictures
            rows = [{"row": first + k, "held_out": held_out, **row} for k, row in enumerate(rows)]
            bank.flush()
            file.write(json.dumps(rows) + "\n")
            file.flush()
            attributes += rows
            advance(len(rows))
    pd.DataFrame(attributes).to_parquet(out.with_suffix(".parquet"), index=False)
    os.replace(pictures_part, out)
    rows_part.unlink()


def _resume(pictures: Path, rows: Path, plan: BankPlan) -> list[Row]:
    """Return the attributes of the people whose pictures exist; create the file of attributes if there is none."""
    header = json.dumps({**asdict(plan), "poses": POSES_PER_PERSON})
    if not (pictures.exists() and rows.exists()):
        pictures.unlink(missing_ok=True)
        rows.write_text(header + "\n", encoding="utf-8")
        return []
    text = rows.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    if not lines or lines[0] != header:
        raise UserError(
            f"{rows} belongs to an unfinished bank of another plan: delete it and {pictures.name}, or change --out"
        )
    rows.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return [row for line in lines[1:] for row in json.loads(line)]


def _results(tasks: list[tuple[int, int]], processes: int) -> Iterator[tuple[np.ndarray, list[Row]]]:
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_work, tasks, chunksize=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for a user error."""
    parser = argparse.ArgumentParser(prog="python -m factory.studio.supply", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    parser.add_argument("--count", type=int, default=24000, help=f"pictures, {POSES_PER_PERSON} per person")
    parser.add_argument("--size", type=int, default=128, help="side in pixels")
    parser.add_argument("--seed", type=parse_seed, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    plan = BankPlan(-(-given.count // POSES_PER_PERSON), given.size, given.seed)
    return exit_code(lambda: make_bank(given.out, plan, given.processes))


if __name__ == "__main__":
    sys.exit(main())
