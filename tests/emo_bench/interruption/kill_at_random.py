"""Run as a program: a run, its edit and its report, killed at random function calls of all that they do by SIGKILL and
SIGTERM in turn, and given again.

Prints what came out as JSON. Usage: kill_at_random.py ACTOR PROTOCOL EDIT_PROTOCOL RUNS_DIR KILLS SEED
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType

from emo_bench.errors import Terminated
from emo_bench.runs import editing, plan, runner
from emo_bench.runs.finished import find_runs, load_run
from emo_bench.runs.plan import EditRequest, RunRequest
from emo_bench.runs.styles import named_style
from emo_bench.system.signals import leaving_in_order
from reports.pages.html import PageOptions
from reports.publishing import publish
from tests.emo_bench.interruption.kill_and_rerun import METHOD, in_child

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def make(actor: str, protocol: str, runs_dir: Path) -> None:
    """What ``emo-bench run --style comic`` and ``emo-bench report`` do."""
    request = RunRequest(METHOD, actor, protocol, profile="smoke", runs_dir=runs_dir, device="cpu")
    (run,) = runner.run(request, trivial=False)
    editing.edit(run, EditRequest(named_style("comic")), "cpu", METHOD)
    publish(find_runs([runs_dir]), runs_dir / "report", PageOptions(clips=False))


def counted(kill_at: int | None, out: Path, number: int) -> None:
    """Count the calls of Python functions from here on; get a signal at one of them, or write at the end how many there
    were.
    """
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"
        if calls == kill_at:
            out.write_text(f"{frame.f_code.co_filename}:{frame.f_code.co_name}", encoding="utf-8")
            os.kill(os.getpid(), number)

    sys.setprofile(count)
    try:
        with leaving_in_order():
            make(*ARGUMENTS, out.parent)
    except Terminated as ended:
        os._exit(int(ended.code or 0))
    sys.setprofile(None)
    out.write_text(str(calls), encoding="utf-8")


def outcome(runs_dir: Path) -> dict[str, object]:
    """What must not depend on where a process was killed."""
    found: dict[str, object] = {}
    for run in find_runs([runs_dir]):
        finished = load_run(run)
        name = "edit" if run.parent.name == "edit" else "run"
        frames = finished.manifest["stages"]["render"]["frames_sha256"]
        found[name] = [frames, hashlib.sha256((run / "frames.parquet").read_bytes()).hexdigest()]
    found["report"] = sorted(path.name for path in (runs_dir / "report").iterdir())
    found["left over"] = sorted(path.name for path in runs_dir.rglob("*.part"))
    return found


def main(runs_dir: Path, kills: int, seed: int) -> None:
    """Once undisturbed, and ``kills`` times with a kill at a call drawn by ``seed``."""
    outcomes = []
    rng, every = random.Random(seed), 0
    for number in range(kills + 1):
        folder = runs_dir / str(number)
        folder.mkdir(parents=True)
        mark = folder / "calls.txt"
        kill_at = rng.randint(1, every) if number else None
        kind = SIGNALS[number % 2]
        killed = in_child(lambda kill_at=kill_at, mark=mark, kind=kind: counted(kill_at, mark, kind))
        # The method of this test has a temporary file of its own, without the dot.
        parts = sorted(path.name for path in folder.rglob(".*.part"))
        said = mark.read_text(encoding="utf-8")
        every = every or int(said)
        ended = in_child(lambda folder=folder: make(*ARGUMENTS, folder)) if number else 0
        outcomes.append({"killed": killed, "parts": parts, "ended": ended, "at": said, "outcome": outcome(folder)})
    print(json.dumps(outcomes))


if __name__ == "__main__":
    ARGUMENTS = (sys.argv[1], sys.argv[2])
    plan.MINI_EDIT_PROTOCOL = sys.argv[3]
    main(Path(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
