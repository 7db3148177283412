"""``python -m tests.slurm``: a sweep on a real one-node Slurm, whose first fit of Emo-Avatar is killed and requeued,
makes the frames and the scores of the same sweep on this machine; exit code 1 if it does not.

The sweep is the file that makes the tables of docs/results, in miniature (``emo-bench sweep results --profile smoke``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from emo_bench.runs.finished import find_runs, load_run
from emo_bench.runs.manifest import read_manifest
from tests.slurm.one_node import missing_programs, one_node

SWEEP = ("results", "--profile", "smoke", "--device", "cpu")
# The run of the sweep whose job is killed.
KILLED = "self_reenactment-mini/1/emo-avatar/smoke-s0"
# A fit that was begun has this file; the render stage has made some checkpoints when it is this old.
BEGUN, BEGUN_S = "train.csv", 5.0
LONGEST_S = 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: equal; 1: not equal; 2: Slurm is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/slurm"), help="folder for the runs and Slurm's files")
    parser.add_argument("--configure", action="append", default=[], metavar="LINE", help="further line of slurm.conf")
    given = parser.parse_args(arguments)
    missing = missing_programs()
    if missing:
        print(f"{', '.join(missing)}: not found; apt-get install slurm-wlm munge", file=sys.stderr)
        return 2
    shutil.rmtree(given.out, ignore_errors=True)
    cores = len(os.sched_getaffinity(0))
    with one_node(given.out / "node", cores=cores, memory_mib=4000 * cores, more=given.configure) as environment:
        code = _sweep_with_a_kill(given.out / "there", environment)
    if code:
        print(f"the sweep on Slurm ended with exit code {code}")
        return 1
    here = subprocess.run(_command(given.out / "here", "--jobs", str(cores)), check=False)
    if here.returncode:
        print(f"the sweep on this machine ended with exit code {here.returncode}")
        return 1
    return _compare(given.out / "there", given.out / "here")


def _command(runs: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "emo_bench", "sweep", *SWEEP, "--runs", str(runs), *more]


def _sweep_with_a_kill(runs: Path, environment: dict[str, str]) -> int:
    """Run the sweep on Slurm, and have Slurm kill and requeue the jobs that run when the fit is begun."""
    process = subprocess.Popen(_command(runs, "--executor", "slurm", "--slurm", "time=60"), env=environment)
    try:
        begun = runs / KILLED / BEGUN
        end = time.monotonic() + LONGEST_S
        while process.poll() is None and not begun.exists():
            if time.monotonic() > end:
                raise SystemExit(f"no fit was begun within {LONGEST_S:g} s")
            time.sleep(0.2)
        time.sleep(BEGUN_S)
        jobs = _lines(["squeue", "--noheader", "--states=RUNNING", "--format=%i"], environment)
        for job in jobs:
            subprocess.run(["scontrol", "requeue", job], env=environment, check=True, timeout=60)
        print(f"killed and requeued: jobs {', '.join(jobs) or 'none'}", flush=True)
        return process.wait(timeout=LONGEST_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def _lines(words: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def _compare(there: Path, here: Path) -> int:
    """Print for each run whether its frames and its scores are equal; return the exit code."""
    names = [sorted(run.relative_to(runs).as_posix() for run in find_runs([runs])) for runs in (there, here)]
    if names[0] != names[1]:
        print(f"other runs: {names[0]} and {names[1]}")
        return 1
    same = True
    for name in names[0]:
        digests = [read_manifest(runs / name)["stages"]["render"]["frames_sha256"] for runs in (there, here)]
        scores = load_run(there / name).scores.equals(load_run(here / name).scores)
        attempts = read_manifest(there / name)["stages"]["fit"]["attempts"]
        equal = digests[0] == digests[1] and scores
        print(f"{'equal' if equal else 'DIFFERENT'}: {name} (fit in {attempts} attempts on Slurm)")
        same = same and equal
    if read_manifest(there / KILLED)["stages"]["fit"]["attempts"] < 2:
        print("the fit was not interrupted: nothing is shown about requeued jobs")
        return 1
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
