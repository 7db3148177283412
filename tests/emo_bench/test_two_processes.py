"""Commands at work at the same time: they share the trivial methods of an actor, and the second never loses its own
result.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.runs.finished import load_run
from emo_bench.runs.store import LOCK, lock_folder, read_manifest

ROOT = Path(__file__).resolve().parents[2]
# Both come to the trivial methods at the same time: each waits at the end of its render until the other is there.
METHOD = """
import time
from pathlib import Path
import numpy as np
from emo_bench.methods.interface import Method, MethodInfo

class Own(Method):
    info = MethodInfo("{name}", "Own", "", "MIT", frozenset(("render", "edit")), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...

    def render(self, capture, indices):
        for _ in indices:
            yield np.full((64, 64, 3), 90, np.uint8)
        Path("{here}").touch()
        end = time.monotonic() + 60
        while not Path("{there}").exists() and time.monotonic() < end:
            time.sleep(0.01)
"""
HOLDER = """
import sys, time
from pathlib import Path
from emo_bench.runs.store import lock_folder
folder, held, enough = map(Path, sys.argv[1:])
with lock_folder(folder):
    (folder / "kept").touch()
    held.touch()
    while not enough.exists():
        time.sleep(0.02)
"""


def start(*words: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_methods_on_one_actor_at_once(actor: str, tmp_path: Path, protocol_file: str) -> None:
    both = []
    for name, other in (("one", "two"), ("two", "one")):
        file = tmp_path / f"{name}.py"
        file.write_text(METHOD.format(name=name, here=tmp_path / f"{name}.there", there=tmp_path / f"{other}.there"))
        words = ["-m", "emo_bench", "run", "--method", f"{file}:Own", "--actor", actor, "--protocol", protocol_file]
        both.append(start(*words, "--profile", "smoke", "--runs", tmp_path / "runs", "--skip-edit", "--device", "cpu"))
    ended = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    runs = tmp_path / "runs" / "quick" / "dot"
    for name in ("one", "two"):
        assert (runs / name / "smoke-s0" / "report.md").is_file()
    stages = read_manifest(runs / "mean-frame" / "smoke-s0")["stages"]
    assert all(stage["finished_at"] and stage["attempts"] == 1 for stage in stages.values())
    waited = [err for _, err in ended if "waiting for another process that works in" in err]
    assert len(waited) == 1 and "fit: already done, skipped" in waited[0]


def held(folder: Path, tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a folder, and the file whose making lets it go."""
    process = start("-c", HOLDER, folder, tmp_path / "held", tmp_path / "enough")
    wait_for(tmp_path / "held")
    return process, tmp_path / "enough"


def test_a_run_that_was_asked_for_is_refused_while_another_makes_it(tmp_path: Path) -> None:
    process, enough = held(tmp_path / "run", tmp_path)
    who = rf"\(process {process.pid} on {re.escape(socket.gethostname())}\)"
    with pytest.raises(UserError, match=rf"another process works in .*run: wait for it or end it {who}$"):
        lock_folder(tmp_path / "run").__enter__()
    enough.touch()
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("content", ["", "no number\n", "1 a\x1b[2J\n", "7 " + "h" * 10_000, "\xff"])
def test_a_lock_file_that_says_nothing_still_keeps_others_out(content: str, tmp_path: Path) -> None:
    """Somebody else's lock file is only quoted if it has the form of ours."""
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / LOCK, "wb") as file:
        file.write(content.encode("latin-1"))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another process works in .*run: wait for it or end it$"):
            lock_folder(tmp_path / "run").__enter__()


def test_a_clock_that_jumps_makes_no_lock_free_and_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock belongs to a living process, whatever the dates of its file say."""
    process, enough = held(tmp_path / "run", tmp_path)
    lock = tmp_path / "run" / LOCK
    for year_s in (0, 4_000_000_000):
        os.utime(lock, (year_s, year_s))
        monkeypatch.setattr(time, "time", lambda year_s=year_s: 4e9 - year_s)
        with pytest.raises(UserError, match="another process works in"):
            lock_folder(tmp_path / "run").__enter__()
    enough.touch()
    assert process.wait(timeout=30) == 0
    os.utime(lock, (4_000_000_000, 4_000_000_000))
    with lock_folder(tmp_path / "run"):
        assert (tmp_path / "run" / "kept").is_file()


def test_who_waits_goes_on_when_the_other_was_killed(tmp_path: Path) -> None:
    process, _ = held(tmp_path / "run", tmp_path)
    threading.Timer(0.5, process.kill).start()
    with lock_folder(tmp_path / "run", wait=True):
        assert process.wait(timeout=10) < 0


def test_who_waits_holds_the_folder_that_is_there(tmp_path: Path) -> None:
    """The other may remove the folder and its lock; a lock of a file that is gone keeps nobody out."""
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="refused"), lock_folder(folder):  # noqa: PT012
        waiting = threading.Thread(target=hold_once, args=(folder, tmp_path / "got"))
        waiting.start()
        time.sleep(0.5)
        raise UserError("refused")
    waiting.join(timeout=30)
    assert (tmp_path / "got").read_text() == "True"


def hold_once(folder: Path, out: Path) -> None:
    with lock_folder(folder, wait=True):
        out.write_text(str((folder / LOCK).is_file()), encoding="utf-8")


def wait_for(file: Path) -> None:
    end = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_same_run_started_twice_at_once(actor: str, tmp_path: Path, protocol_file: str) -> None:
    """One makes it; the other is one line, and takes nothing from it."""
    file = tmp_path / "one.py"
    # The first is amid its render until the second has ended.
    file.write_text(METHOD.format(name="one", here=tmp_path / "rendering", there=tmp_path / "go on"))
    words = ("-m", "emo_bench", "run", "--method", f"{file}:Own", "--actor", actor, "--protocol", protocol_file)
    more = ("--profile", "smoke", "--runs", tmp_path / "runs", "--skip-edit", "--no-trivial", "--device", "cpu")
    first = start(*words, *more)
    wait_for(tmp_path / "rendering")
    _, refusal = (second := start(*words, *more)).communicate(timeout=120)
    (tmp_path / "go on").touch()
    out, err = first.communicate(timeout=120)
    assert second.returncode == 2 and len(refusal.splitlines()) == 1, refusal
    assert "another process works in" in refusal
    assert first.returncode == 0, out + err
    run = load_run(tmp_path / "runs" / "quick" / "dot" / "one" / "smoke-s0")
    assert run.scores["psnr"].notna().all() and len(run.scores) == 12
    assert all(stage["attempts"] == 1 for stage in run.manifest["stages"].values())
