"""What jobs that run at the same time cost each other: ``python benchmarks/many_jobs.py --jobs 1 --jobs 2 --jobs 16``.

For each number of jobs, ``emo-bench sweep --jobs N`` makes the same 16 runs: INSTA in miniature with 16 seeds. Prints a
Markdown table. If jobs cost each other nothing beyond their share of the cores, the processor seconds are the same for
every number, and the clock falls as the number of cores allows. The scores must be equal to the last digit for every
number; the exit code is 1 if they are not. ``--cores 1`` measures one core while other work has the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from emo_bench.runs.finished import find_runs, load_run
from emo_bench.runs.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 16


@dataclass(frozen=True)
class Measured:
    """What a sweep took: seconds by the clock, of the processors, of the slowest fit, and the scores of each run."""

    clock_s: float
    processor_s: float
    slowest_fit_s: float
    scores: dict[str, bytes]


def main() -> int:
    """Make the sweeps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, action="append", help="may be given several times; default: 1, 2 and 16")
    parser.add_argument("--method", default="insta")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="use this many of the last cores")
    parser.add_argument("--folder", type=Path, default=Path("build/many-jobs"))
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-given.cores :])
    found = {jobs: measured(given.folder / f"jobs-{jobs}", given.method, jobs) for jobs in given.jobs or (1, 2, 16)}
    print(table(found, given.cores))
    equal = all(one.scores == next(iter(found.values())).scores for one in found.values())
    print("\nThe scores are equal." if equal else "\nTHE SCORES DIFFER.")
    return 0 if equal else 1


def measured(folder: Path, method: str, jobs: int) -> Measured:
    """Make the runs anew in ``folder`` and say what it took; SystemExit if a run failed."""
    shutil.rmtree(folder, ignore_errors=True)
    seeds = [word for seed in range(SEEDS) for word in ("--seed", str(seed))]
    wanted = ["--method", method, "--actor", "1", "--profile", "smoke", "--device", "cpu", "--no-trivial", *seeds]
    command = [sys.executable, "-m", "emo_bench", "sweep", *wanted, "--jobs", str(jobs), "--runs", str(folder)]
    began = time.monotonic()
    # wait4 gives the processor time of this child and of the children that it waited for.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    clock_s = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"the sweep with --jobs {jobs} ended with exit code {process.returncode}: {folder}")
    runs = find_runs([folder])
    fits_s = [read_manifest(run)["stages"]["fit"]["seconds"] for run in runs]
    scores = {run.relative_to(folder).as_posix(): load_run(run).scores.to_numpy().tobytes() for run in runs}
    return Measured(clock_s, usage.ru_utime + usage.ru_stime, max(fits_s), scores)


def table(found: dict[int, Measured], cores: int) -> str:
    """Format the figures, and in brackets their ratio to the first number of jobs."""
    first = next(iter(found.values()))
    lines = [f"| jobs on {cores} cores | clock s | processor s | slowest fit s |", "|---|---|---|---|"]
    for jobs, one in found.items():
        lines.append(
            f"| {jobs} | {one.clock_s:.0f} (x{one.clock_s / first.clock_s:.2f}) "
            f"| {one.processor_s:.0f} (x{one.processor_s / first.processor_s:.2f}) | {one.slowest_fit_s:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
