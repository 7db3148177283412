"""Measure how far scores and frames differ between processors: ``python benchmarks/machines.py RUN [RUN ...]``.

Each setting of :data:`SETTINGS` makes the libraries of one process believe that the processor has fewer instructions,
or gives it other threads or batches. The process scores the stored frames of each run with every metric that works here
and renders them again. The table has the greatest difference of a frame's score from that of the default setting. It is
the source of ``emo_bench/runs/tolerances.py`` and of the table in docs/verify.md.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Measured = dict[str, Any]
NUMPY_AVX2 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
NUMPY_SSE = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
OPENCV_AVX2 = {"OPENCV_CPU_DISABLE": "AVX512-SKX"}
OPENCV_SSE = {"OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,AVX,FP16"}
LIBM_AVX2 = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512DQ"}
LIBM_SSE = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512DQ,-AVX2,-FMA"}
TORCH_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
TORCH_SSE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
}
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "batches of 5": {"EMO_BENCH_BATCH": "5"},
    "torch as with AVX2": TORCH_AVX2,
    "all as with AVX2": TORCH_AVX2 | NUMPY_AVX2 | OPENCV_AVX2 | LIBM_AVX2,
    "all as with SSE4": TORCH_SSE | NUMPY_SSE | OPENCV_SSE | LIBM_SSE,
}
LEVELS = "frames rendered again (levels of 255)"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/machines.py", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs or edits")
    parser.add_argument("--jobs", type=int, default=1, help="settings at the same time")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.out:
        given.out.write_bytes(pickle.dumps(measure(given.runs)))
        return
    with ThreadPoolExecutor(given.jobs) as pool:
        measured = pool.map(lambda variables: in_process(given.runs, variables), SETTINGS.values())
        found = dict(zip(SETTINGS, measured, strict=True))
    first = found.pop("default")
    metrics = list(dict.fromkeys(metric for run in first.values() for metric in run))
    print(f"| | {' | '.join(found)} |")
    print(f"|---{'|---:' * len(found)}|")
    for metric in metrics:
        cells = [f"{worst(first, other, metric):.1e}" for other in found.values()]
        print(f"| {metric} | {' | '.join('0' if cell == '0.0e+00' else cell for cell in cells)} |")


def in_process(runs: list[Path], variables: dict[str, str]) -> dict[str, Measured]:
    """Measure in a process with these environment variables; keys are the runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured"
        command = [sys.executable, __file__, *map(str, runs), "--out", str(out)]
        subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
        # The file is of our own process.
        found: dict[str, Measured] = pickle.loads(out.read_bytes())
    return found


def measure(runs: list[Path]) -> dict[str, Measured]:
    """Score each run with every metric that works here, and render it again."""
    from emo_bench.errors import UserError
    from emo_bench.metrics import Captions, Settings
    from emo_bench.metrics.registry import known_ids, metric_class
    from emo_bench.metrics.watched import missing_for
    from emo_bench.runs import frame_scoring
    from emo_bench.runs.manifest import read_manifest
    from emo_bench.runs.rerendering import rerender

    frame_scoring.BATCH = int(os.environ.get("EMO_BENCH_BATCH", frame_scoring.BATCH))
    settings = Settings(captions=Captions("a photo of a man", "a bronze statue of a man"))
    here = [name for name in known_ids() if missing_for(metric_class(name), settings) is None]
    found: dict[str, Measured] = {}
    for run in runs:
        request = frame_scoring.ScoreRequest(run, metrics=tuple(here), settings=settings)
        scores = frame_scoring.score_request(request)
        found[str(run)] = {name: scores[name].to_numpy() for name in scores}
        try:
            found[str(run)][LEVELS] = np.array([rerender(run, read_manifest(run), "cpu").levels])
        except UserError as error:
            print(f"{run}: not rendered again: {error}", file=sys.stderr)
    return found


def worst(first: dict[str, Measured], other: dict[str, Measured], metric: str) -> float:
    """Return the greatest difference of a metric over frames and runs."""
    from emo_bench.runs.verification import largest_difference

    both = [(first[run][metric], other[run][metric]) for run in first if metric in first[run]]
    return max(largest_difference(a.astype(np.float64), b.astype(np.float64))[0] for a, b in both)


if __name__ == "__main__":
    main()
