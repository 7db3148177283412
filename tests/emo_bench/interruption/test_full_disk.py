"""A disk that is full at some moment of a run: one line, exit code 2, nothing half-written; with room it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def may_mount(folder: Path) -> bool:
    tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True)
    return tried.returncode == 0 and subprocess.run(["umount", folder], check=True).returncode == 0


@pytest.mark.parametrize("kind", ["LIMIT", "TMPFS"])
def test_a_full_disk(kind: str, actor_home: Path, protocol_file: str, tmp_path: Path) -> None:
    """LIMIT: no file may be larger than so many bytes. TMPFS: a real small disk, which needs the right to mount."""
    if kind == "TMPFS" and not (sys.platform == "linux" and os.geteuid() == 0 and may_mount(tmp_path)):
        pytest.skip("this process may not mount a small disk")
    environment = {
        **os.environ,
        "EMO_BENCH_HOME": str(actor_home),
        "EMO_BENCH_NO_CACHE": "1",
        "EMO_BENCH_OFFLINE": "1",
        "PYTHONPATH": str(HERE.parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, HERE / "full_disk.py", kind, "dot", protocol_file, tmp_path]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["undisturbed"][0] == found["at last"][0] == 0
    refused = [one for one in found["disturbed"] if one[1] != 0]
    assert len(refused) >= 3
    for room, code, lines, half_written in refused:
        assert code == 2 and not half_written, (room, code, lines, half_written)
        assert not [line for line in lines if "Traceback" in line or "Logging error" in line], (room, lines)
        (last,) = [line for line in lines if line.startswith("emo-bench: ")]
        assert last == lines[-1] and ("disk is full" in last or "larger than this system allows" in last), (room, last)
    first, second = found["outcomes"]
    assert {**first, "attempts": None} == {**second, "attempts": None}
