"""A shell command of another environment: run with a time limit and a log, and ended with all its children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from emo_bench.errors import UserError

POLL_S = 0.05
# Between asking a group of processes to end and ending it.
GRACE_S = 5.0
SHOWN_CHARACTERS = 200


def run_command(
    command: str, *, what: str, log: Path, timeout_s: float, workdir: Path, environment: Mapping[str, str]
) -> None:
    """Run a shell command to its end; its output is appended to ``log``.

    The command and its children are one session, which is ended when time is up or this process is interrupted.

    Args:
        command: for ``/bin/sh``.
        what: names the step in messages, e.g. ``my-method: fit``.
        timeout_s: seconds that it may take.
        environment: over this process's own.

    Raises:
        UserError: it failed, was killed or took too long; the line names the log.
    """
    with log.open("ab") as output:
        output.write(f"$ {command}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd=workdir, env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end_session(process)
            raise UserError(
                f"{what} took longer than {timeout_s:g} s and was ended; raise timeout_s, or see {log}"
            ) from None
        except BaseException:
            _end_session(process)
            raise
    # A command that ended must not leave children that write on.
    _signal(process.pid, signal.SIGKILL)
    if code < 0:
        raise UserError(f"{what} was killed by {signal.Signals(-code).name}; see {log}")
    if code > 128 and code - 128 in set(signal.Signals):
        raise UserError(f"{what} was killed by {signal.Signals(code - 128).name}; see {log}")
    if code:
        raise UserError(f"{what} failed with exit code {code}: {_last_line(log)} (see {log})")


def _end_session(process: subprocess.Popen[bytes]) -> None:
    _signal(process.pid, signal.SIGTERM)
    end = time.monotonic() + GRACE_S
    while _alive(process) and time.monotonic() < end:
        time.sleep(POLL_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the group is left."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return "no output" if last.startswith("$ ") else last[:SHOWN_CHARACTERS]
