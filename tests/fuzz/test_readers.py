"""A minute of ``nox -s fuzz``: the first inputs of a fixed seed, so that a find is there in every run or in none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INPUTS = 40


def test_no_reader_fails_on_the_first_changed_files(tmp_path: Path) -> None:
    words = ("--inputs", str(INPUTS), "--seed", "0", "--jobs", "2", "--out", str(tmp_path / "finds"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fuzz", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert tried == [str(INPUTS)] * 13
