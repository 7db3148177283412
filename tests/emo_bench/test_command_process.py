"""A command outlives nobody: what happens to all that it started when it ends, when time is up, and when we are ended
or killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.methods.command.process import RECORD, run_command, sole_command
from emo_bench.methods.command.supervisor import TOKEN_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
# Detached twice, in a session of its own, and with an environment that says nothing: what a daemon does.
DAEMON = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
if sys.argv[2] == "bare":
    os.execve(sys.executable, [sys.executable, "-S", __file__, sys.argv[1], "sleep"], {})
if sys.argv[2] == "deaf":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(f"{os.getpid()}\\n")
time.sleep(300)
"""
SLEEPER = """
import os, sys, time
open(sys.argv[1], "w").write(f"{os.getpid()}\\n")
time.sleep(300)
"""
# Under nohup SIGHUP would be ignored, and stay so.
PROGRAM = """
import signal, sys
from pathlib import Path
from emo_bench.methods.command.process import run_command, sole_command
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
with sole_command(folder) as record:
    run_command(
        sys.argv[2], what="test: fit command", log=folder / "command.log", timeout_s=60, workdir=folder, environment={},
        record=record,
    )
"""


def daemon_command(folder: Path, kind: str = "plain") -> str:
    """A command that leaves a daemon and waits; both note their process in the folder."""
    text = DAEMON if kind != "bare" else DAEMON.replace("__file__", repr(str(folder / "sleeper.py")))
    (folder / "daemon.py").write_text(text)
    (folder / "sleeper.py").write_text(SLEEPER)
    return (
        f"{sys.executable} daemon.py {folder}/daemon {kind}; echo $$ > shell; while [ ! -s daemon ]; do sleep "
        f"0.05; done; "
    )


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """The processes that the command noted, when both have; none of them outlives the test."""
    noted: list[int] = []

    def read() -> list[int]:
        files = [tmp_path / name for name in ("shell", "daemon")]
        wait_for(lambda: all(file.is_file() and file.read_text().endswith("\n") for file in files))
        noted[:] = [int(file.read_text()) for file in files]
        return noted

    yield read
    for pid in noted:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("kind", ["plain", "bare"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_when_we_end_all_that_the_command_started_ends(
    kind: str, number: signal.Signals, tmp_path: Path, pids: Callable[[], list[int]]
) -> None:
    process = start(tmp_path, daemon_command(tmp_path, kind) + "sleep 300; true")
    started = pids()
    process.send_signal(number)
    code = process.wait(timeout=30)
    assert code == 128 + number if number in (signal.SIGTERM, signal.SIGHUP) else code != 0
    wait_for(lambda: not any(map(runs, started)))


def test_time_that_is_up_ends_a_daemon_too(tmp_path: Path, pids: Callable[[], list[int]]) -> None:
    with pytest.raises(UserError, match=r"took longer than 3 s and was ended; raise timeout_s"):
        run(tmp_path, daemon_command(tmp_path, "bare") + "sleep 300; true", timeout_s=3)
    assert not any(map(runs, pids()))


def test_a_daemon_that_is_deaf_is_killed(tmp_path: Path, pids: Callable[[], list[int]]) -> None:
    run(tmp_path, daemon_command(tmp_path, "deaf"))
    assert not any(map(runs, pids()))


def test_a_command_that_ended_leaves_no_daemon(tmp_path: Path, pids: Callable[[], list[int]]) -> None:
    with pytest.raises(UserError, match=r"failed with exit code 3: sorry \(see "):
        run(tmp_path, daemon_command(tmp_path, "bare") + "echo sorry; exit 3")
    assert not any(map(runs, pids()))


def test_a_supervisor_that_was_killed_leaves_nothing(tmp_path: Path, pids: Callable[[], list[int]]) -> None:
    """Its children are then found by the token in their environment."""
    with pytest.raises(UserError, match="was killed by SIGKILL"):
        run(tmp_path, daemon_command(tmp_path) + "kill -9 $PPID; sleep 300; true")
    assert not any(map(runs, pids()))


def test_processes_of_others_are_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, TOKEN_VARIABLE: "0" * 32})
    try:
        run(tmp_path, "true")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_what_a_killed_process_left_running_is_ended_before_the_next_command(tmp_path: Path) -> None:
    """The supervisor ends it; where that was killed too, the record's token finds it."""
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, TOKEN_VARIABLE: "1" * 32}, start_new_session=True)
    try:
        (tmp_path / RECORD).write_text("1" * 32 + "\n")
        with sole_command(tmp_path):
            assert left.wait(timeout=10) < 0
    finally:
        left.kill()
        left.wait()


def test_a_living_process_keeps_its_command(tmp_path: Path, pids: Callable[[], list[int]]) -> None:
    process = start(tmp_path, daemon_command(tmp_path) + "sleep 300; true")
    started = pids()
    with pytest.raises(UserError, match="another process runs a command in"), sole_command(tmp_path):
        pass
    assert all(map(runs, started))
    process.terminate()
    process.wait(timeout=30)


def run(folder: Path, command: str, timeout_s: float = 60) -> None:
    with sole_command(folder) as record:
        run_command(
            command,
            what="test: fit command",
            log=folder / "command.log",
            timeout_s=timeout_s,
            workdir=folder,
            environment={},
            record=record,
        )


def runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
