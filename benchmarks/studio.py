"""Measure the studio's frames per second at 256 px, on one process and all cores: ``python benchmarks/studio.py``."""

from __future__ import annotations

import multiprocessing
import os
import time

FRAMES = 40


def render_frames(name: str) -> float:
    """Render some frames of an actor, including animation; return the seconds they took."""
    from factory.studio.actors import ACTORS, CENTER_PX, FOCAL_PX, FPS, HOME_M, SIZE_PX
    from factory.studio.motion import talking_motion
    from factory.studio.scene import Person

    person = Person(ACTORS[name])
    wall = person.spec.background.paint(SIZE_PX)
    motion = talking_motion(FRAMES + 1, FPS, seed=1, home_m=HOME_M)
    began = 0.0
    for index in range(FRAMES + 1):
        if index == 1:
            began = time.perf_counter()
        vertices, normals, face_uv = person.posed(motion.pose(index))
        person.tracer.render(vertices, normals, face_uv, person.spec.light, wall, FOCAL_PX, CENTER_PX)
    return time.perf_counter() - began


def main() -> None:
    """Print the measurements."""
    print(f"one process: {FRAMES / render_frames('1'):.1f} frames/s")
    processes = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        seconds = pool.map(render_frames, ["1"] * processes)
    print(f"{processes} processes: {processes * FRAMES / max(seconds):.1f} frames/s together")


if __name__ == "__main__":
    main()
