"""A command outlives nobody: what happens to it when the process that runs it is told to end, or is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emo_bench.command_process import RECORD, sole_command
from emo_bench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
# Under nohup SIGHUP would be ignored, and stay so.
PROGRAM = """
import signal, sys
from pathlib import Path
from emo_bench.command_process import run_command, sole_command
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = Path(sys.argv[1])
with sole_command(folder) as record:
    run_command(
        "echo $$ > pid; sleep 60; true", what="test: fit command", log=folder / "command.log", timeout_s=60,
        workdir=folder, environment={}, record=record,
    )
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that runs a command in ``tmp_path``, and the process of that command."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    files = [tmp_path / name for name in ("pid", RECORD)]
    wait_for(lambda: all(file.is_file() and file.read_text().endswith("\n") for file in files))
    command = int((tmp_path / "pid").read_text())
    yield process, command
    process.kill()
    process.wait()
    if runs(command):
        os.killpg(command, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_ends_its_command(
    running: tuple[subprocess.Popen[bytes], int], number: signal.Signals
) -> None:
    process, command = running
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number
    wait_for(lambda: not runs(command))


def test_what_a_killed_process_left_running_is_ended_before_the_next_command(
    running: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, command = running
    process.kill()
    process.wait()
    assert runs(command)
    with sole_command(tmp_path):
        assert not runs(command)


def test_a_living_process_keeps_its_command(
    running: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="another process runs a command in"), sole_command(tmp_path):
        pass
    assert runs(running[1])


def test_a_process_that_got_the_number_later_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (tmp_path / RECORD).write_text(f"{other.pid} another time\n")
        with sole_command(tmp_path):
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
