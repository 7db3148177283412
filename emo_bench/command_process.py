"""A shell command of another environment: run with a time limit and a log, and ended with all its children."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from emo_bench.errors import UserError
from emo_bench.files import open_in_place

# Its lock says that a process of ours runs a command in the folder; it holds the command's process group and start.
RECORD = ".command"
POLL_S = 0.05
# Between asking a group of processes to end and ending it.
GRACE_S = 5.0
SHOWN_CHARACTERS = 200

log = logging.getLogger("emo_bench")


@contextmanager
def sole_command(folder: Path) -> Iterator[TextIO]:
    """Hold a folder for the commands of this process; a command that a killed process left running there is ended first.

    Yields:
        The record that :func:`run_command` keeps.

    Raises:
        UserError: another process runs a command there, or what was left running cannot be ended.
    """
    import fcntl

    with open_in_place(folder / RECORD, "a+") as record:
        try:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another process runs a command in {folder}: wait for it or end it") from error
        record.seek(0)
        left = re.fullmatch(r"(\d+) (.+)\n", record.read())
        if left:
            _end_left_over(int(left[1]), left[2])
        yield record


def run_command(
    command: str,
    *,
    what: str,
    log: Path,
    timeout_s: float,
    workdir: Path,
    environment: Mapping[str, str],
    record: TextIO,
) -> None:
    """Run a shell command to its end; its output is appended to ``log``.

    The command and its children are one session, which is ended when time is up or this process is interrupted or
    told to end (SIGTERM, SIGHUP).

    Args:
        command: for ``/bin/sh``.
        what: names the step in messages, e.g. ``my-method: fit``.
        timeout_s: seconds that it may take.
        environment: over this process's own.
        record: of :func:`sole_command`.

    Raises:
        UserError: it failed, was killed or took too long; the line names the log.
    """
    with open_in_place(log, "ab") as output, _leaving_in_order():
        output.write(f"$ {command}\n".encode())
        output.flush()
        begin = output.tell()
        process = subprocess.Popen(
            command, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd=workdir, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        try:
            _note(record, f"{process.pid} {_start_time(process.pid)}\n")
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end_session(process)
            raise UserError(
                f"{what} took longer than {timeout_s:g} s and was ended; raise timeout_s, or see {log}"
            ) from None
        except BaseException:
            _end_session(process)
            raise
        finally:
            _note(record, "")
    # A command that ended must not leave children that write on.
    _signal(process.pid, signal.SIGKILL)
    if code < 0:
        raise UserError(f"{what} was killed by {signal_name(-code)}; see {log}")
    if code > 128 and code - 128 in set(signal.Signals):
        raise UserError(f"{what} was killed by {signal_name(code - 128)}; see {log}")
    if code:
        raise UserError(f"{what} failed with exit code {code}: {last_line(log, begin)} (see {log})")


@contextmanager
def _leaving_in_order() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise SystemExit in it, where they would end this process at once."""

    def leave(number: int, frame: FrameType | None) -> None:
        # A second one must not disturb the ending.
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGHUP) if in_main else ()
    taken = [number for number in wanted if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _note(record: TextIO, text: str) -> None:
    record.truncate(0)
    record.write(text)
    record.flush()


def _end_left_over(group: int, started: str) -> None:
    """End the group of processes that a process led which began then; a number that is in use again is left alone."""
    if _start_time(group) != started:
        return
    log.info("ending the command that an earlier attempt left running (process group %d)", group)
    _end_group(group, lambda: _exists(group))
    end = time.monotonic() + GRACE_S
    while _start_time(group) == started:
        if time.monotonic() > end:
            raise UserError(
                f"process {group}, a command of an earlier attempt, cannot be ended: end it first"
            )
        time.sleep(POLL_S)


def _start_time(pid: int) -> str:
    """When a process began, in the system's words; ``""`` where there is none (any more)."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
        except OSError:
            return ""
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()


def _end_session(process: subprocess.Popen[bytes]) -> None:
    def alive() -> bool:
        process.poll()
        return _exists(process.pid)

    _end_group(process.pid, alive)
    process.wait()


def _end_group(group: int, alive: Callable[[], bool]) -> None:
    """Ask a group of processes to end, and kill what is left of it; also when this process is interrupted meanwhile."""
    try:
        _signal(group, signal.SIGTERM)
        end = time.monotonic() + GRACE_S
        while alive() and time.monotonic() < end:
            time.sleep(POLL_S)
    finally:
        _signal(group, signal.SIGKILL)


def _exists(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; ``signal 35`` where there is no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        # Real-time signals between the first and the last have no name.
        return f"signal {number}"


def last_line(log: Path, begin: int = 0) -> str:
    """The last line that is not empty from byte ``begin`` on, cut to what a message shows."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return last[:SHOWN_CHARACTERS] or "no output"
