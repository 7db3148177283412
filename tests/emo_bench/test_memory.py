"""Lack of memory is reported as that: by libraries, under a limit, and of a command that was killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.methods.command.process import run_command, sole_command
from emo_bench.plug_ins.calls import plug_in_call
from emo_bench.system import memory
from emo_bench.system.endings import ending

ROOT = Path(__file__).resolve().parents[2]
CGROUP = Path("/sys/fs/cgroup/memory")


def by_torch() -> None:
    import torch

    torch.empty(2**44)


def by_numpy() -> None:
    import numpy as np

    np.empty(2**46)


def by_opencv() -> None:
    import cv2
    import numpy as np

    cv2.copyMakeBorder(np.zeros((1, 1), np.uint8), *(2**22,) * 4, cv2.BORDER_CONSTANT)


def by_arrow() -> None:
    import pyarrow

    pyarrow.allocate_buffer(2**50)


@pytest.mark.parametrize("ask", [by_torch, by_numpy, by_opencv, by_arrow])
def test_more_memory_than_any_machine_has(ask: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - each library has its own class
        ask()
    assert ending(refused.value, "x") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("x: out of memory (") and "smaller settings" in line


def test_other_errors_are_not_taken_for_it() -> None:
    others = (
        RuntimeError("shapes differ"),
        OSError(errno.ENOSPC, "full"),
        ImportError("no module"),
        ValueError("memory"),
    )
    assert [memory.lack_of_memory(error) for error in others] == [None] * 4


def test_a_plug_in_that_gets_no_memory_is_no_faulty_plug_in() -> None:
    for number in (errno.ENOMEM, errno.EAGAIN):
        with pytest.raises(OSError, match="no") as refused, plug_in_call("method own", "fit"):
            raise OSError(number, "no")
        assert (memory.lack_of_memory(refused.value) or "").startswith("out of memory")


# Under a limit of the address space: threads fail first, then libraries that are loaded late.
LIMITED = """
import resource, sys, threading
from emo_bench.system.endings import exit_code
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def work():
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
    if sys.argv[1] == "threads":
        while True:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    import torch

sys.exit(exit_code(work))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
@pytest.mark.parametrize("what", ["threads", "libraries"])
def test_a_limit_of_the_process_is_named(what: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", LIMITED, what], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: out of memory (") and "raise the limit of 0." in done.stderr


def run(folder: Path, command: str) -> None:
    with sole_command(folder) as record:
        run_command(
            command, what="own: fit command", log=folder / "command.log", timeout_s=60, workdir=folder, environment={},
            record=record,
        )  # fmt: skip


def test_a_killed_command_says_what_may_be_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 7\noom_kill 3\n", encoding="utf-8")
    monkeypatch.setattr(memory, "_COUNTER", counter)
    with pytest.raises(UserError, match=r"was killed by SIGKILL; if nobody ended it, memory ran out: end other"):
        run(tmp_path, "kill -9 $$")
    with pytest.raises(UserError, match=r"was killed by SIGKILL, because memory ran out \(the kernel ended it\)"):
        run(tmp_path, f"echo oom_kill 4 > {counter}; kill -9 $$")
    with pytest.raises(UserError, match=r"was killed by SIGTERM \(see "):
        run(tmp_path, f"echo oom_kill 5 > {counter}; kill -15 $$")
    monkeypatch.setattr(memory, "_COUNTER", tmp_path / "none")
    assert memory.kills_by_kernel() == 0


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes may use 80 MiB together."""
    group = CGROUP / f"emo-bench-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(80 << 20), encoding="utf-8")
    except OSError:
        pytest.skip("this process may not make a control group for memory (it needs root and cgroup v1)")
    yield group
    group.rmdir()


def test_the_kernel_ends_a_command_for_its_memory(small_group: Path, tmp_path: Path) -> None:
    """No stand-in: the kernel's own end of a process."""
    hungry = f"{sys.executable} -c 'bytearray(400 << 20)'"
    with pytest.raises(UserError, match=r"was killed by SIGKILL, because memory ran out \(the kernel ended it\)"):
        run(tmp_path, f"echo $$ > {small_group}/cgroup.procs; exec {hungry}")
    assert memory.cause_of_kill(signal.SIGTERM, 0) == ""
