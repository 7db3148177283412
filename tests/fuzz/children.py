"""Child processes that try inputs under limits of memory and time; a dead one is a verdict and not the end."""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.judging import CRASH, ROOT, SLOW, Verdict, judge
from tests.fuzz.reader import Reader

# A child that has tried so many is replaced, so that what libraries keep does not count against an input.
INPUTS_A_CHILD = 400
# Waiting on a busy machine is not the reader's; waiting for ever is.
WALL_TIMES = 8
TREE = get_context("fork")


@dataclass(frozen=True)
class Limits:
    """What one input may use: seconds of processor time, and MiB of address space beyond what the libraries take."""

    cpu_s: float = 10.0
    memory_mib: int = 2048


class Child:
    """One process that tries inputs of a reader, one at a time."""

    def __init__(self, reader: Reader, prepared: Path, limits: Limits) -> None:
        self._limits = limits
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._connection, theirs = TREE.Pipe()
        self._process = TREE.Process(target=_serve, args=(reader, prepared, self._folder, limits, theirs))
        self._process.start()
        theirs.close()
        self.number, self.content = 0, b""
        self.tried = 0
        self._began = 0.0

    @property
    def connection(self) -> Connection:
        """Readable when there is a verdict, or the process has died."""
        return self._connection

    def give(self, number: int, content: bytes) -> None:
        """Try this input."""
        self.number, self.content, self._began = number, content, time.monotonic()
        self.tried += 1
        self._connection.send_bytes(content)

    def overdue(self) -> bool:
        """Whether the input has taken longer than even a busy machine explains."""
        return time.monotonic() - self._began > WALL_TIMES * self._limits.cpu_s

    def verdict(self) -> Verdict:
        """What came of the input; a process that died or hangs is gone afterwards."""
        try:
            if self._connection.poll(0):
                found: Verdict = self._connection.recv()
                return found
        except (EOFError, ConnectionResetError):
            pass
        else:
            self._process.kill()
        self._process.join()
        code, place = self._process.exitcode or 0, _last_place(self._folder / "stack")
        if code in (-signal.SIGPROF, -signal.SIGKILL):
            return Verdict(SLOW, f"over {self._limits.cpu_s:g} s", place)
        return Verdict(CRASH, signal.Signals(-code).name if code < 0 else f"exit code {code}", place)

    @property
    def alive(self) -> bool:
        """Whether it can try another."""
        return self._process.is_alive()

    def end(self) -> None:
        """Let it go, with its folder."""
        self._connection.close()
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def try_alone(reader: Reader, prepared: Path, limits: Limits, content: bytes) -> Verdict:
    """The verdict of a fresh child on one input."""
    child = Child(reader, prepared, limits)
    try:
        child.give(0, content)
        while not child.connection.poll(0.2) and not child.overdue():
            pass
        return child.verdict()
    finally:
        child.end()


def in_child(work: Callable[[], object]) -> int:
    """Do work in a process of its own, so that no thread or memory of it is there when others are forked; its exit
    code.
    """
    process = TREE.Process(target=work)
    process.start()
    process.join()
    return process.exitcode or 0


def _serve(reader: Reader, prepared: Path, folder: Path, limits: Limits, connection: Connection) -> None:
    """The child: place, judge, report, until the other end is closed."""
    stack = (folder / "stack").open("w")
    silence()
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(signal.SIGPROF, stack, all_threads=False, chain=True)
    scratch = folder / "scratch"
    scratch.mkdir()
    os.chdir(scratch)
    place = reader.open(prepared, scratch)
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    room = used + limits.memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            content = connection.recv_bytes()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)
        verdict = judge(place(content))
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(verdict)


def silence() -> None:
    """What readers print is not looked at."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _last_place(stack: Path) -> str:
    """The innermost line of the project in the last stack that the child wrote down."""
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.is_file() else ""
    for file, line in re.findall(r'File "([^"]+)", line (\d+)', text):
        path = Path(file)
        if path.is_relative_to(ROOT) and "tests" not in path.relative_to(ROOT).parts:
            return f"{path.relative_to(ROOT)}:{line}"
    return ""
