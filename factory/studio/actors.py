"""Render the four actors that ship with the toolkit: ``python -m factory.studio.actors [--out DIR]``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.system.endings import exit_code
from emo_bench.video.writing import Encoding, VideoWriter
from factory.studio.anny_people import Identity
from factory.studio.people import Background, PersonSpec
from factory.studio.raytrace import FILMED, Light, View

if TYPE_CHECKING:
    from factory.studio.scene import Person, Pose

FRAMES = 1500
FPS = 25
SIZE_PX = 256
FOCAL_PX = 2.35 * SIZE_PX
CENTER_PX = (SIZE_PX / 2, SIZE_PX / 2)
HOME_M = (0.0, 0.095, 1.12)
# H.264 at visually lossless quality.
ENCODING = Encoding("mp4", "libx264", "yuv420p", {"crf": "17", "preset": "slow"}, threads=1)

_SOFT_LEFT = Light((-0.42, -0.45, -0.79), (0.95, 0.92, 0.88), (0.75, -0.15, -0.65), (0.2, 0.21, 0.24),
                   (0.36, 0.38, 0.41), (0.18, 0.165, 0.15))  # fmt: skip
_SOFT_RIGHT = Light(
    (0.48, -0.4, -0.78), (0.9, 0.9, 0.92), (-0.7, -0.1, -0.7), (0.25, 0.23, 0.2), (0.38, 0.38, 0.4), (0.17, 0.165, 0.16)
)


def _shape(**values: float) -> dict[str, float]:
    even = dict.fromkeys(
        ("gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness", "african", "asian",
         "caucasian"), 0.5,
    )  # fmt: skip
    return {**even, **values}


def _both(**values: float) -> dict[str, float]:
    """Return local changes; a name without side changes both sides (``eye_scale_incr`` is l- and r-eye-scale-incr)."""
    out: dict[str, float] = {}
    for name, value in values.items():
        label = name.replace("_", "-")
        if label.split("-")[0] in ("eye", "ear", "cheek"):
            out[f"l-{label}"] = out[f"r-{label}"] = value
        else:
            out[label] = value
    return out


ACTORS: dict[str, PersonSpec] = {
    "1": PersonSpec(
        Identity(
            _shape(gender=0.1, age=0.62, african=0.05, asian=0.15, caucasian=0.8, proportions=0.7),
            _both(eye_scale_incr=0.25, chin_width_incr=-0.2, cheek_bones_incr=0.2),
        ),
        "skins/textures/young_lightskinned_female_diffuse2.png", (1.0, 0.98, 0.97),
        "ponytail01", (0.17, 0.09, 0.045), "green_eye", (0.09, 0.05, 0.03),
        "female_casualsuit01", (1.0, 0.45, 0.5),
        Background((0.34, 0.4, 0.44), (0.22, 0.27, 0.31), (0.5, 0.52, 0.5), 3, 11), _SOFT_LEFT,
    ),
    "2": PersonSpec(
        Identity(
            _shape(gender=0.92, age=0.66, african=0.85, asian=0.05, caucasian=0.1, muscle=0.6),
            _both(chin_prominent_incr=0.25, cheek_volume_incr=-0.2),
        ),
        "skins/textures/young_darkskinned_male_diffuse.png", (1.15, 1.1, 1.05),
        "short01", (0.012, 0.01, 0.009), "brown_eye", (0.012, 0.009, 0.008),
        "male_elegantsuit01", (1.0, 1.0, 1.05),
        Background((0.5, 0.44, 0.34), (0.36, 0.3, 0.23), (0.6, 0.5, 0.35), 2, 12), _SOFT_RIGHT,
    ),
    "3": PersonSpec(
        Identity(
            _shape(gender=0.12, age=0.8, african=0.3, asian=0.5, caucasian=0.2, weight=0.58),
            _both(eye_scale_incr=0.15, chin_height_incr=-0.2),
        ),
        "skins/textures/middleage_lightskinned_female_diffuse2.png", (0.9, 0.82, 0.74),
        "long01", (0.04, 0.022, 0.013), "brown_eye", (0.02, 0.012, 0.009),
        "female_casualsuit01", (0.5, 0.9, 0.45),
        Background((0.2, 0.28, 0.42), (0.12, 0.18, 0.3), (0.35, 0.3, 0.5), 4, 13), _SOFT_RIGHT,
    ),
    "4": PersonSpec(
        Identity(
            _shape(gender=0.9, age=0.9, african=0.05, asian=0.1, caucasian=0.85, weight=0.6),
            _both(chin_width_incr=0.3, ear_scale_incr=0.2),
        ),
        "skins/textures/old_lightskinned_male_diffuse2.png", (0.88, 1.0, 1.12),
        "short04", (0.3, 0.3, 0.305), "blue_eye", (0.16, 0.155, 0.15),
        "male_casualsuit02", (0.6, 0.75, 0.9),
        Background((0.42, 0.43, 0.4), (0.3, 0.31, 0.29), (0.3, 0.4, 0.3), 3, 14), _SOFT_LEFT,
    ),
}  # fmt: skip


def film(person: Person, pose: Pose, wall: np.ndarray, view: View = FILMED) -> tuple[np.ndarray, np.ndarray]:
    """Render a frame of an actor, uint8 ``[S, S, 3]``, and the share of each pixel that the actor covers, ``[S, S]``.

    Args:
        person: the actor.
        pose: the pose, in the space of the camera that filmed.
        wall: what the actor's background paints.
        view: another camera than the one that filmed.
    """
    light = person.spec.light
    return person.tracer.render(*person.posed(pose), light, wall, FOCAL_PX, CENTER_PX, samples=4, view=view)


def render_actor(name: str, folder: Path, frames: int = FRAMES) -> None:
    """Render an actor's video and write it with its exact track, ``actor-NAME.mp4`` and ``.track.npz``."""
    from emo_bench.actors.track import Track, pack_foreground
    from emo_bench.progress import track_progress
    from factory.studio.framing import landmarks_camera_m, project_px
    from factory.studio.motion import talking_motion
    from factory.studio.scene import Person

    person = Person(ACTORS[name])
    motion = talking_motion(frames, FPS, seed=100 + int(name), home_m=HOME_M)
    wall = person.spec.background.paint(SIZE_PX)
    landmarks = np.empty((frames, 478, 2), dtype=np.float32)
    masks = np.empty((frames, FOREGROUND_PX, FOREGROUND_PX), dtype=bool)
    video = folder / f"actor-{name}.mp4"
    with track_progress(frames, f"studio: actor {name}") as advance, VideoWriter(video, ENCODING, FPS) as writer:
        for index in range(frames):
            pose = motion.pose(index)
            picture, coverage = film(person, pose, wall)
            writer.write(picture)
            landmarks[index] = project_px(landmarks_camera_m(person.head, pose), FOCAL_PX, CENTER_PX)
            block = SIZE_PX // FOREGROUND_PX
            small = coverage.reshape(FOREGROUND_PX, block, FOREGROUND_PX, block).mean(axis=(1, 3))
            masks[index] = small >= 0.5
            advance()
    track = Track(
        head=person.head,
        expression=motion.expression,
        body_rotvec=motion.body_rotvec,
        body_translation=motion.body_translation,
        neck_rotvec=motion.neck_rotvec,
        head_rotvec=motion.head_rotvec,
        torso_shift=np.zeros((frames, 3), dtype=np.float32),
        focal_px=FOCAL_PX,
        center_px=CENTER_PX,
        size_px=SIZE_PX,
        landmarks478=landmarks,
        face_found=np.ones(frames, dtype=bool),
        foreground_bits=pack_foreground(masks),
        foreground_px=FOREGROUND_PX,
    )
    track.save(folder / f"actor-{name}.track.npz")


FOREGROUND_PX = 128


def _work(task: tuple[str, Path, int]) -> None:
    render_actor(*task)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m factory.studio.actors", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "emo_bench/actors/data")
    parser.add_argument("--actors", default=",".join(ACTORS), help="names, separated by commas")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    return exit_code(lambda: _render_all(given.actors.split(","), given.out, given.frames, given.processes))


def _render_all(names: Sequence[str], out: Path, frames: int, processes: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    tasks = [(name, out, frames) for name in names]
    with multiprocessing.get_context("spawn").Pool(min(processes, len(tasks))) as pool:
        pool.map(_work, tasks, chunksize=1)


if __name__ == "__main__":
    sys.exit(main())
