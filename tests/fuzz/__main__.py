"""``python -m tests.fuzz``: changed files for every reader; exit code 1 when one fails."""

# ruff: noqa: E402 - threads of numpy and torch do not survive a fork, so they are told to start none before they are loaded
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("EMO_BENCH_OFFLINE", "1")

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz import array_files, media_files, run_files, settings_files, study_files, weight_files
from tests.fuzz.campaign import Budget, Counts, fuzz, prepare
from tests.fuzz.children import Limits, try_alone
from tests.fuzz.judging import READ, REFUSED
from tests.fuzz.reader import Reader

READERS: tuple[Reader, ...] = (
    *media_files.READERS,
    *array_files.READERS,
    *weight_files.READERS,
    *run_files.READERS,
    *study_files.READERS,
    *settings_files.READERS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: no find; 1: finds, which are listed and kept."""
    given = _parser().parse_args(arguments)
    chosen = [reader for reader in READERS if not given.reader or reader.name in given.reader]
    limits = Limits(given.limit_s, given.memory_mib)
    if given.replay:
        return _replay(chosen, limits, given.replay)
    budget = Budget(given.seconds, given.inputs)
    found = []
    for reader in chosen:
        began = time.monotonic()
        counts = fuzz(reader, budget, limits, given.seed, given.jobs, given.out)
        print(
            f"{reader.name}: {counts.inputs} inputs in {time.monotonic() - began:.0f} s, {counts.finds} finds",
            flush=True,
        )
        for kind, times in counts.kinds.most_common():
            print(f"  {times} x {kind}\n    {counts.files[kind][0]}", flush=True)
        found.append(counts)
    print(_table(found))
    return int(any(counts.finds for counts in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    names = [reader.name for reader in READERS]
    parser.add_argument("--reader", action="append", choices=names, help="only this one; may be given several times")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each reader (default: 600)")
    parser.add_argument("--inputs", type=int, help="so many for each reader, whatever time they take")
    parser.add_argument("--seed", type=int, default=0, help="other inputs with another seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="inputs tried side by side")
    parser.add_argument("--limit-s", type=float, default=10.0, help="processor seconds of one input")
    parser.add_argument("--memory-mib", type=int, default=2048, help="of one input, beyond what the libraries take")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="where finds are kept")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="try these files, with one --reader")
    return parser


def _replay(chosen: Sequence[Reader], limits: Limits, files: Sequence[Path]) -> int:
    if len(chosen) != 1:
        print("--replay needs one --reader", file=sys.stderr)
        return 2
    (reader,) = chosen
    failed = False
    with tempfile.TemporaryDirectory(prefix="fuzz-prepared-") as folder:
        prepared, _ = prepare(reader, Path(folder))
        for file in files:
            verdict = try_alone(reader, prepared, limits, file.read_bytes())
            print(f"{file}: {verdict.outcome} {verdict.what} {verdict.place}".rstrip())
            failed |= verdict.find
    return int(failed)


def _table(found: Sequence[Counts]) -> str:
    """Markdown, as docs/reliability.md shows it."""
    lines = ["| reader | inputs | read | refused | finds |", "|---|---|---|---|---|"]
    for counts in found:
        numbers = (counts.inputs, counts.outcomes[READ], counts.outcomes[REFUSED], counts.finds)
        lines.append(f"| {counts.reader} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
