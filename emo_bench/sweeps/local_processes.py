"""The executor that does several tasks at the same time on this machine, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from emo_bench.files import open_in_place
from emo_bench.methods.command.process import last_line, signal_name
from emo_bench.sweeps.executor import Ended, Executor
from emo_bench.sweeps.task import Task, task_to_json
from emo_bench.system.memory import REMEDY, cause_of_kill, kills_by_kernel

POLL_S = 0.05
# Time that a process has to remove its unfinished files after SIGTERM.
GRACE_S = 20.0
LONGEST_REASON = 4096
# Exit codes of a process that a signal ended and that removed its unfinished files.
ENDED_IN_ORDER = (128 + signal.SIGHUP, 128 + signal.SIGTERM)
# The libraries that start threads of their own: OpenMP (torch), OpenBLAS (numpy), MKL.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PROGRAM = "import sys; sys.path[:] = {path!r}; from emo_bench.sweeps.worker import main; sys.exit(main({parent}))"


@dataclass(frozen=True)
class _Process:
    """A process that does a task.

    Attributes:
        task: the task.
        slot: its number among the processes that run.
        popen: the process.
        log: the log of the task; None if nobody reads it.
        begin: where the output of this process begins in the log.
        kills_before: ``kills_by_kernel()`` before the process was started.
    """

    task: Task
    slot: int
    popen: subprocess.Popen[bytes]
    log: Path | None
    begin: int
    kills_before: int


class LocalProcesses(Executor):
    """Does ``count`` tasks at the same time. A process that dies fails its own task only.

    Args:
        count: number of processes.
        threads: threads of each process.
        gpus: the GPUs as ``CUDA_VISIBLE_DEVICES`` names them; a process sees one of them, in turn. Empty changes
            nothing.
    """

    def __init__(self, count: int, *, threads: int = 1, gpus: Sequence[str] = ()) -> None:
        self.capacity = count
        self._threads, self._gpus = threads, tuple(gpus)
        self._running: list[_Process] = []

    def submit(self, task: Task, log: Path | None) -> None:
        """Start a process for the task."""
        taken = {process.slot for process in self._running}
        slot = next(number for number in range(self.capacity) if number not in taken)
        words = [sys.executable, "-P", "-c", _PROGRAM.format(path=sys.path, parent=os.getpid())]
        path = Path(os.devnull) if log is None else log
        with path.open("ab") if log is None else open_in_place(path, "ab") as output:
            output.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {task.title}\n".encode())
            output.flush()
            begin = output.tell()
            kills_before = kills_by_kernel()
            # Its own session, so that Ctrl-C reaches it only through this process.
            popen = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=self._environment(slot),
                start_new_session=True,
            )
        self._running.append(_Process(task, slot, popen, log, begin, kills_before))
        assert popen.stdin is not None
        try:
            popen.stdin.write(task_to_json(task))
            popen.stdin.close()
        except BrokenPipeError:
            # The process died at once; its exit code says so.
            return

    def ended(self, timeout_s: float) -> list[Ended]:
        """Wait until a process ends, at most ``timeout_s``."""
        give_up = time.monotonic() + timeout_s
        while True:
            over = [process for process in self._running if process.popen.poll() is not None]
            if over or time.monotonic() > give_up or not self._running:
                break
            time.sleep(POLL_S)
        for process in over:
            self._running.remove(process)
        return [_ended(process) for process in over]

    def close(self) -> None:
        """Ask the processes to end; kill those that do not."""
        for process in self._running:
            process.popen.terminate()
        give_up = time.monotonic() + GRACE_S
        for process in self._running:
            try:
                process.popen.wait(timeout=max(give_up - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
        self._running.clear()

    def _environment(self, slot: int) -> dict[str, str]:
        environment = {**os.environ, **dict.fromkeys(THREADS, str(self._threads))}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        return environment


def _ended(process: _Process) -> Ended:
    """Say how the task of an ended process ended."""
    assert process.popen.stdout is not None
    with process.popen.stdout as answer:
        told = answer.read(LONGEST_REASON).decode(errors="replace")
    name, code = process.task.name, process.popen.returncode
    if code == 0:
        return Ended(name)
    by_signal = -code if code < 0 else code - 128 if code in ENDED_IN_ORDER else 0
    if by_signal:
        cause = cause_of_kill(by_signal, process.kills_before, f"give fewer --jobs, {REMEDY}")
        return Ended(name, f"its process was ended by {signal_name(by_signal)}{cause}", by_signal=by_signal)
    return Ended(name, told or (last_line(process.log, process.begin) if process.log else f"exit code {code}"))
