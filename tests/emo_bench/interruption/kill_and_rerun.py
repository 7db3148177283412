"""Run as a program: for each place, a run is killed there with SIGKILL and given again; prints what came out.

Each run is a forked child, so that torch is imported once. Usage: kill_and_rerun.py ACTOR PROTOCOL RUNS_DIR
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# Imported for the children, who would each take a second or two over them.
import av  # noqa: F401
import cv2  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401

import emo_bench.actors.capture  # noqa: F401
import emo_bench.metrics.pixels  # noqa: F401
import emo_bench.tracking.head_rig  # noqa: F401
from emo_bench.files import replacing
from emo_bench.methods import registry as methods
from emo_bench.metrics import Scorer
from emo_bench.runs import runner, stages, store
from emo_bench.runs.manifest import read_manifest
from emo_bench.runs.plan import RunRequest

METHOD = f"{Path(__file__).with_name('steps.py')}:Steps"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(number: int, inner: Callable[..., object]) -> Callable[..., object]:
    """The function, dead at the start of its `number`-th call."""
    calls = 0

    def wrapped(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        return inner(*arguments, **named)

    return wrapped


def before_mark_of(stage: str) -> Callable[..., object]:
    """`RunFolder.finish`, dead when it is the stage's turn: all its files lie there, the mark does not."""
    finish = store.RunFolder.finish

    def wrapped(folder: store.RunFolder, name: str, *arguments: object, **named: object) -> object:
        if name == stage:
            die()
        return finish(folder, name, *arguments, **named)

    return wrapped


def half_written(path: Path, content: bytes) -> None:
    """`write_bytes`, dead before the file has its name."""
    with replacing(path) as temporary:
        temporary.write_bytes(content[: len(content) // 2])
        die()


def arm(place: str) -> None:
    """Set the trap in this process."""
    steps = methods.method_class(METHOD)
    stages_by_place: dict[str, Callable[[], None]] = {
        "fit, before its first checkpoint": lambda: setattr(
            steps, "at_step", lambda self, step: die() if step == 3 else None
        ),
        "fit, between two checkpoints": lambda: setattr(
            steps, "at_step", lambda self, step: die() if step == 7 else None
        ),
        "fit, before its mark": lambda: setattr(store.RunFolder, "finish", before_mark_of("fit")),
        "render, amid the frames": lambda: setattr(
            steps, "at_frame", lambda self, position: die() if position == 5 else None
        ),
        "render, before its mark": lambda: setattr(store.RunFolder, "finish", before_mark_of("render")),
        "score, amid the frames": lambda: setattr(Scorer, "add", dying_at(1, Scorer.add)),
        "score, before its mark": lambda: setattr(store.RunFolder, "finish", before_mark_of("score")),
        "score, before the scores are renamed": lambda: setattr(stages, "write_bytes", half_written),
        "the manifest, before it is renamed": lambda: setattr(os, "replace", dying_at(3, os.replace)),
    }
    # The method's class is loaded anew from its file by the runner; it must be the one with the trap.
    runner.methods.method_class = lambda name: steps  # type: ignore[assignment]
    stages_by_place[place]()


PLACES = (
    "fit, before its first checkpoint", "fit, between two checkpoints", "fit, before its mark",
    "render, amid the frames", "render, before its mark", "score, amid the frames", "score, before its mark",
    "score, before the scores are renamed", "the manifest, before it is renamed",
)  # fmt: skip


def in_child(work: Callable[[], object]) -> int:
    """Do the work in a forked child; returns its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must end here whatever happens
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(folder: Path) -> dict[str, object]:
    """What must not depend on interruptions, and what tells of them."""
    manifest = read_manifest(folder)
    return {
        "frames": manifest["stages"]["render"]["frames_sha256"],
        "scores": hashlib.sha256((folder / "frames.parquet").read_bytes()).hexdigest(),
        "attempts": {name: entry["attempts"] for name, entry in manifest["stages"].items()},
        "leftovers": sorted(path.name for path in folder.glob("*.part")),
    }


def main(actor: str, protocol: str, runs_dir: Path) -> None:
    """Print JSON: by place, the killed child's status, the second one's, and the outcome."""
    found = {}
    for number, place in enumerate(("undisturbed", *PLACES)):
        # One identity, so that the same outcome is owed; one runs folder a place, so that nothing is shared.
        request = RunRequest(METHOD, actor, protocol, profile="smoke", runs_dir=runs_dir / str(number), device="cpu")
        killed = 0

        def disturbed(place: str = place, request: RunRequest = request) -> None:
            arm(place)
            runner.run(request, trivial=False)

        if place != "undisturbed":
            killed = in_child(disturbed)
        ended = in_child(lambda request=request: runner.run(request, trivial=False))
        folder = next((runs_dir / str(number)).rglob("run.json")).parent
        found[place] = {"killed": killed, "ended": ended, **outcome(folder)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
