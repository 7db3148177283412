"""Inputs of one reader, drawn by seed and number, tried side by side, and what was found."""

from __future__ import annotations

import importlib
import pickle
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from random import Random

from tests.fuzz.children import INPUTS_A_CHILD, Child, Limits, in_child, silence, try_alone
from tests.fuzz.judging import CRASH, MEMORY, READ, REFUSED, SLOW, Verdict
from tests.fuzz.reader import Reader

KEPT_OF_A_KIND = 3


@dataclass(frozen=True)
class Budget:
    """When a reader has been tried enough: after ``seconds``, or after ``inputs`` whatever they take."""

    seconds: float = 600.0
    inputs: int | None = None

    def over(self, number: int, began: float) -> bool:
        """Whether no further input is drawn."""
        return number >= self.inputs if self.inputs is not None else time.monotonic() - began >= self.seconds


@dataclass
class Counts:
    """What came of a reader's inputs: how many by outcome, and the finds by kind with the first inputs of each."""

    reader: str
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    files: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """All that were tried."""
        return sum(self.outcomes.values())

    @property
    def finds(self) -> int:
        """Those on which the reader failed."""
        return self.inputs - self.outcomes[READ] - self.outcomes[REFUSED]


def input_of(reader: Reader, seeds: Sequence[bytes], seed: int, number: int) -> bytes:
    """The input of that number, the same whenever it is asked for; the valid files come first."""
    if number <= len(seeds):
        return seeds[number - 1]
    rng = Random(f"{reader.name}/{seed}/{number}")
    usual = sys.getrecursionlimit()
    # Inputs may be nested deeper than a reader can follow.
    sys.setrecursionlimit(20_000)
    try:
        return reader.change(rng, rng.choice(seeds), seeds)
    finally:
        sys.setrecursionlimit(usual)


def fuzz(reader: Reader, budget: Budget, limits: Limits, seed: int, jobs: int, out: Path) -> Counts:
    """Try a reader until the budget is spent; inputs that it fails on are written below ``out``.

    Raises:
        RuntimeError: a valid file is not read, so that nothing would be tried.
    """
    counts = Counts(reader.name)
    with tempfile.TemporaryDirectory(prefix="fuzz-prepared-") as folder:
        prepared, seeds = prepare(reader, Path(folder))
        children = [Child(reader, prepared, limits) for _ in range(jobs)]
        busy: dict[int, Child] = {}
        began, number = time.monotonic(), 0
        try:
            while True:
                for i, child in enumerate(children):
                    if i in busy or budget.over(number, began):
                        continue
                    if child.tried >= INPUTS_A_CHILD or not child.alive:
                        child.end()
                        children[i] = child = Child(reader, prepared, limits)
                    number += 1
                    child.give(number, input_of(reader, seeds, seed, number))
                    busy[i] = child
                if not busy:
                    return counts
                wait([child.connection for child in busy.values()], timeout=0.5)
                for i, child in list(busy.items()):
                    if child.connection.poll(0) or child.overdue():
                        del busy[i]
                        verdict = _confirmed(child.verdict(), reader, prepared, limits, child.content)
                        _count(counts, verdict, child, out)
                        if child.number <= len(seeds) and verdict.find:
                            raise RuntimeError(f"{reader.name}: the valid file {child.number} gives {verdict}")
        finally:
            for child in children:
                child.end()


def prepare(reader: Reader, folder: Path) -> tuple[Path, list[bytes]]:
    """Load the reader's modules here, and make its valid files in a process of its own."""
    for module in reader.imports:
        importlib.import_module(module)
    prepared, kept, failed = folder / "prepared", folder / "seeds", folder / "traceback"
    prepared.mkdir()

    def make() -> None:
        silence()
        try:
            kept.write_bytes(pickle.dumps(list(reader.prepare(prepared))))
        except BaseException:
            failed.write_text(traceback.format_exc())
            raise

    if in_child(make) or not kept.is_file():
        why = failed.read_text() if failed.is_file() else "the process died"
        raise RuntimeError(f"{reader.name}: its valid files cannot be made\n{why}")
    seeds: list[bytes] = pickle.loads(kept.read_bytes())
    return prepared, seeds


def _confirmed(verdict: Verdict, reader: Reader, prepared: Path, limits: Limits, content: bytes) -> Verdict:
    """Memory and time of one input alone; a crash stays one, though an earlier input may have prepared it."""
    if verdict.outcome in (MEMORY, SLOW):
        return try_alone(reader, prepared, limits, content)
    if verdict.outcome == CRASH:
        alone = try_alone(reader, prepared, limits, content)
        return alone if alone.find else Verdict(CRASH, f"{verdict.what}, not alone", verdict.place)
    return verdict


def _count(counts: Counts, verdict: Verdict, child: Child, out: Path) -> None:
    counts.outcomes[verdict.outcome] += 1
    if not verdict.find:
        return
    counts.kinds[verdict.kind] += 1
    files = counts.files.setdefault(verdict.kind, [])
    if len(files) < KEPT_OF_A_KIND:
        out.mkdir(parents=True, exist_ok=True)
        files.append(out / f"{counts.reader}-{verdict.outcome.replace(' ', '-')}-{child.number}.bin")
        files[-1].write_bytes(child.content)
        files[-1].with_suffix(".txt").write_text(
            f"{verdict.outcome}\n{verdict.what}\n{verdict.place}\n", errors="backslashreplace"
        )
