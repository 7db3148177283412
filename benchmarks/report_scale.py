"""Time and memory of a report over many runs: ``python benchmarks/report_scale.py --runs 10000``.

The runs are synthetic: each has the manifest of a run in docs/results with another actor and seed, and its scores with
noise. Ten seeds of each method run on each actor, so 10,000 runs have 200 actors and five methods. They are written
to ``--folder`` (about 60 kB each) and used again by the next call. The report is made by ``emo-bench report`` in a
process of its own, which may start others. Prints the seconds, the peak memory of all processes together (what they
share is counted for each) and the size of each file.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "docs/results/self_reenactment/1"
METHODS = ("emo-avatar", "point-avatar", "insta", "style-avatar", "mean-frame")
SEEDS = 10
POLL_S = 0.05


def main() -> None:
    """Make the runs that are missing, report them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("build/report-scale"))
    arguments = parser.parse_args()
    runs, out = arguments.folder / f"runs-{arguments.runs}", arguments.folder / f"report-{arguments.runs}"
    make_runs(runs, arguments.runs)
    command = [sys.executable, "-m", "emo_bench", "report", str(runs), "--out", str(out)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    code, usage, peak = wait_for(process.pid)
    process.returncode = code
    seconds, cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    print(
        f"{arguments.runs} runs: exit code {code}, {seconds:.1f} s (processor {cpu:.1f} s), "
        f"peak memory {peak / 2**20:.0f} MiB"
    )
    for file in sorted(out.iterdir()):
        print(f"{file.name:24} {file.stat().st_size / 1e6:8.2f} MB")


def wait_for(pid: int) -> tuple[int, resource.struct_rusage, int]:
    """Wait for a child; return its exit code, what it used, and the peak memory of it and its children in bytes."""
    peak = 0
    while True:
        # wait4 gives the usage of this child, with the children that it waited for.
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage, peak
        peak = max(peak, sum(map(resident, [pid, *children(pid)])))
        time.sleep(POLL_S)


def children(pid: int) -> list[int]:
    """The children of a process on Linux."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def resident(pid: int) -> int:
    """The resident memory of a process in bytes; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def make_runs(folder: Path, count: int) -> None:
    """Write ``count`` finished runs below ``folder``, unless they are there."""
    import pandas

    from emo_bench.runs.manifest import MANIFEST, write_manifest

    sources = {name: PUBLISHED / name / "cpu-s0" for name in METHODS}
    manifests = {name: json.loads((path / MANIFEST).read_text(encoding="utf-8")) for name, path in sources.items()}
    tables = {name: pandas.read_parquet(path / "frames.parquet") for name, path in sources.items()}
    rng = np.random.default_rng(0)
    for number in range(count):
        actor, rest = divmod(number, len(METHODS) * SEEDS)
        name, seed = METHODS[rest % len(METHODS)], rest // len(METHODS)
        run = folder / "self_reenactment" / f"person-{actor}" / name / f"cpu-s{seed}"
        if (run / MANIFEST).exists():
            continue
        run.mkdir(parents=True, exist_ok=True)
        manifest, table = _changed(manifests[name], tables[name], actor, seed, rng)
        content = _parquet(table)
        score = manifest["stages"]["score"]
        score.setdefault("files", {})["frames.parquet"] = hashlib.sha256(content).hexdigest()
        (run / "frames.parquet").write_bytes(content)
        write_manifest(run, manifest)


def _changed(manifest: dict[str, Any], table: Any, actor: int, seed: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """The manifest and the scores of another actor and seed; the scores are lower by up to a tenth."""
    made, noisy = copy.deepcopy(manifest), table.copy()
    name = f"person-{actor}"
    made["identity"]["actor"] = {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest()}
    made["identity"]["seed"] = seed
    noisy *= 1 - 0.1 * rng.random() - 0.02 * rng.random(noisy.shape)
    noisy.attrs = table.attrs
    return made, noisy


def _parquet(table: Any) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file)
    return file.getvalue()


if __name__ == "__main__":
    main()
