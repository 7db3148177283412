"""An endless supply of aligned heads for priors: ``python -m emo_bench.actors.studio.supply --help``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.progress import track_progress

if TYPE_CHECKING:
    from emo_bench.actors.studio.scene import Pose

POSES_PER_PERSON = 8


def render_person(
    seed: int, size_px: int, count: int = POSES_PER_PERSON
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Render one random person in ``count`` poses, expressions, lights and places.

    Returns:
        FFHQ-aligned pictures, uint8 ``[count, S, S, 3]``, and their attributes.
    """
    from emo_bench.actors.studio.framing import aligned_view, landmarks_camera_m
    from emo_bench.actors.studio.people import random_background, random_light, random_person
    from emo_bench.actors.studio.scene import Person

    rng = np.random.default_rng((seed, 7))
    spec = random_person(rng)
    person = Person(spec)
    pictures = np.empty((count, size_px, size_px, 3), dtype=np.uint8)
    rows: list[dict[str, object]] = []
    for k in range(count):
        pose, yaw_deg, pitch_deg = random_pose(rng)
        placed = replace(spec, light=random_light(rng), background=random_background(rng)) if k else spec
        view = aligned_view(landmarks_camera_m(person, pose), size_px)
        vertices, normals, face_uv = person.posed(pose)
        pictures[k], _ = person.tracer.render(
            vertices @ view.rotation.T, normals @ view.rotation.T, face_uv, placed.light,
            placed.background.paint(size_px), view.focal_px, view.center_px, samples=4,
        )  # fmt: skip
        shape = spec.identity.phenotype
        rows.append(
            {"person": seed, "yaw_deg": yaw_deg, "pitch_deg": pitch_deg, "gender": shape["gender"],
             "age": shape["age"], "skin": spec.skin, "hair": spec.hair or "none", "hair_tint": str(spec.hair_tint),
             "eye": spec.eye, "clothes": spec.clothes}
        )  # fmt: skip
    return pictures, rows


def random_pose(rng: np.random.Generator) -> tuple[Pose, float, float]:
    """A moment of talking at a random head angle, within 40 degrees of yaw and 25 of pitch."""
    from emo_bench.actors.studio.motion import NECK_SHARE, talking_motion
    from emo_bench.actors.studio.scene import Pose

    motion = talking_motion(60, 25.0, int(rng.integers(2**31)))
    expression = motion.expression[int(rng.integers(20, 60))]
    yaw_deg = float(np.clip(rng.normal(0.0, 17.0), -40.0, 40.0))
    pitch_deg = float(np.clip(rng.normal(0.0, 8.0), -25.0, 25.0))
    head = np.deg2rad(np.array([-pitch_deg, -yaw_deg, rng.normal(0.0, 4.0)]))
    distance_m = rng.uniform(0.8, 1.8)
    pose = Pose(
        expression,
        np.zeros(3, np.float32),
        np.array([0.0, 0.08, distance_m], np.float32),
        (NECK_SHARE * head).astype(np.float32),
        ((1 - NECK_SHARE) * head).astype(np.float32),
    )
    return pose, yaw_deg, pitch_deg


def _work(task: tuple[int, int]) -> tuple[int, np.ndarray, list[dict[str, object]]]:
    seed, size_px = task
    pictures, rows = render_person(seed, size_px)
    return seed, pictures, rows


def make_bank(out: Path, count: int, size_px: int, seed: int, processes: int) -> None:
    """Write ``count`` pictures to ``out`` (``.npy``, uint8 ``[N, S, S, 3]``) and attributes beside it (``.parquet``).

    Deterministic in ``seed`` and ``size_px``; the file appears when it is complete.
    """
    import pandas as pd

    people = -(-count // POSES_PER_PERSON)
    temporary = out.with_name(out.name + ".part")
    bank = np.lib.format.open_memmap(
        temporary, mode="w+", dtype=np.uint8, shape=(people * POSES_PER_PERSON, size_px, size_px, 3)
    )
    attributes: list[dict[str, object]] = []
    tasks = [(seed * 1_000_003 + person, size_px) for person in range(people)]
    with track_progress(len(bank), "studio: aligned heads") as advance:
        for row, (_, pictures, rows) in enumerate(_results(tasks, processes)):
            bank[row * POSES_PER_PERSON : (row + 1) * POSES_PER_PERSON] = pictures
            attributes += rows
            advance(len(rows))
    bank.flush()
    pd.DataFrame(attributes).to_parquet(out.with_suffix(".parquet"))
    os.replace(temporary, out)


def _results(
    tasks: list[tuple[int, int]], processes: int
) -> Iterator[tuple[int, np.ndarray, list[dict[str, object]]]]:
    if processes == 1:
        yield from map(_work, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_work, tasks, chunksize=2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m emo_bench.actors.studio.supply", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    parser.add_argument("--count", type=int, default=6000, help="number of pictures, 8 a person")
    parser.add_argument("--size", type=int, default=64, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    make_bank(given.out, given.count, given.size, given.seed, given.processes)


if __name__ == "__main__":
    main()
