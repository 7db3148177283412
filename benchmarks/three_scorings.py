"""Time the three scorings of a command: ``python benchmarks/three_scorings.py``.

Blurred frames of the bundled actor 1 stand for a method's frames. They are filed as a run, and the trivial methods run
beside it, as in ``emo-bench run``. Prints the seconds of each scoring, its seconds of processor time, and the SHA-256
of all scores. A second call uses the faces of the recorded frames that the first one kept; with
``EMO_BENCH_NO_CACHE=1`` none are used and none are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Print a line for each scoring, and their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--protocol", default="self_reenactment")
    arguments = parser.parse_args()

    from emo_bench.runs import stages
    from emo_bench.runs.finished import load_run
    from emo_bench.runs.given_frames import GivenRequest, file_frames

    spent: list[tuple[str, float, float]] = []
    score = stages.score

    def timed(job: stages.Job) -> None:
        began, began_cpu = time.perf_counter(), time.process_time()
        score(job)
        spent.append((job.name, time.perf_counter() - began, time.process_time() - began_cpu))

    stages.score = timed
    logging.getLogger("emo_bench").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder, "frames")
        write_blurred(frames, arguments.protocol, arguments.size)
        request = GivenRequest(frames, "blurred", "1", arguments.protocol, runs_dir=Path(folder, "runs"), device="cpu")
        made = file_frames(request)
        scores = [load_run(run).scores for run in (made.run, *made.trivial)]
    for name, seconds, cpu in spent:
        print(f"{name:14} {seconds:7.1f} s, processor {cpu:7.1f} s")
    print(f"{'together':14} {sum(s for _, s, _ in spent):7.1f} s, processor {sum(cpu for *_, cpu in spent):7.1f} s")
    digest = hashlib.sha256()
    for table in scores:
        for name in table.columns:
            digest.update(name.encode() + np.ascontiguousarray(table[name].to_numpy()).tobytes())
    print(f"SHA-256 of all scores: {digest.hexdigest()}")


def write_blurred(folder: Path, protocol: str, size: int) -> None:
    """Write the held-out frames of actor 1, blurred, as PNG files."""
    import cv2
    from PIL import Image

    import protocols
    from emo_bench.actors import load
    from emo_bench.runs.applied_protocol import apply_protocol

    capture = load("1")
    test = apply_protocol(protocols.load_protocol(protocol), capture).split.test
    folder.mkdir()
    for number, frame in zip(test, capture.frames(test, size=size), strict=True):
        Image.fromarray(cv2.GaussianBlur(frame, (0, 0), 1.0)).save(folder / f"{number:05d}.png")


if __name__ == "__main__":
    main()
