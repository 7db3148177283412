"""Run as a program: a run on a disk with too little room, with more and more of it, and at last with enough.

Each run is a forked child that calls the command line. Prints JSON: for each amount of room the exit code, the lines on
stderr and the files that are half-written. Usage: full_disk.py LIMIT|TMPFS ACTOR PROTOCOL FOLDER
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import av  # noqa: F401
import cv2  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401

import emo_bench.metrics.pixels  # noqa: F401
from emo_bench.cli import main as command_line
from emo_bench.runs import runner  # noqa: F401
from tests.emo_bench.interruption.kill_and_rerun import METHOD, in_child, outcome

# Shares of the room that a run needs.
SHARES = (0.0, 0.02, 0.5, 0.7, 0.9)


def make(words: list[str], told: Path, limit_bytes: int | None) -> None:
    """Call the command line; no file may be larger than the limit."""
    err = io.StringIO()
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    code: object = None
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            command_line(words)
        except SystemExit as ended:
            code = ended.code
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    told.write_text(json.dumps([code, err.getvalue().splitlines()]), encoding="utf-8")


def main(kind: str, actor: str, protocol: str, folder: Path) -> None:
    """Print what happened with each amount of room, and the outcomes with and without disturbance."""
    runs, told = folder / "runs", folder / "told.json"

    def words(where: Path) -> list[str]:
        asked = ["--method", METHOD, "--actor", actor, "--protocol", protocol, "--profile", "smoke", "--skip-edit"]
        return ["run", *asked, "--no-trivial", "--device", "cpu", "--runs", str(where)]

    def attempt(where: Path, limit_bytes: int | None = None) -> list[object]:
        told.unlink(missing_ok=True)
        in_child(lambda: make(words(where), told, limit_bytes))
        code, lines = json.loads(told.read_text(encoding="utf-8"))
        # The method of this test has a temporary file of its own, without the dot.
        return [code, lines, sorted(path.name for path in where.rglob(".*.part"))]

    undisturbed = attempt(folder / "undisturbed")
    (made,) = (path.parent for path in (folder / "undisturbed").rglob("run.json"))
    sizes = sorted(path.stat().st_size for path in made.iterdir())
    found = []
    for share in SHARES:
        if kind == "LIMIT":
            # Files are written whole, so what counts is the size of one of them.
            limit = sizes[int(share * len(sizes))] - 1
            found.append([limit, *attempt(runs, max(limit, 0))])
        else:
            room = max(int(share * sum(sizes)) // 4096 * 4096, 4096)
            if share == SHARES[0]:
                runs.mkdir()
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", runs], check=True)
            else:
                subprocess.run(["mount", "-o", f"remount,size={room}", runs], check=True)
            found.append([room, *attempt(runs)])
    if kind == "TMPFS":
        subprocess.run(["mount", "-o", "remount,size=64m", runs], check=True)
    at_last = attempt(runs)
    (path,) = (path.parent for path in runs.rglob("run.json"))
    result = {"undisturbed": undisturbed, "disturbed": found, "at last": at_last}
    print(json.dumps(result | {"outcomes": [outcome(made), outcome(path)]}))


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    finally:
        if os.path.ismount(Path(sys.argv[4]) / "runs"):
            subprocess.run(["umount", Path(sys.argv[4]) / "runs"], check=True)
