"""Run a shell command of another environment with a time limit and a log; end it with all processes that it started."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from emo_bench.errors import UserError
from emo_bench.files import open_in_place, try_lock
from emo_bench.methods.command import supervisor as command_supervisor
from emo_bench.system.memory import cause_of_kill, kills_by_kernel
from emo_bench.system.signals import leaving_in_order

# A lock on this file shows that one of our processes runs a command in the folder; the file holds the command's token.
RECORD = ".command"
SHOWN_CHARACTERS = 200

log = logging.getLogger("emo_bench")


@contextmanager
def sole_command(folder: Path) -> Iterator[TextIO]:
    """Lock a folder for the commands of this process; first end a command that a killed process left running there.

    Yields:
        The record that :func:`run_command` keeps.

    Raises:
        UserError: another process runs a command there, or the command that was left running cannot be ended.
    """
    with open_in_place(folder / RECORD, "a+") as record:
        if not try_lock(record):
            raise UserError(f"another process runs a command in {folder}: wait for it or end it")
        record.seek(0)
        left = re.fullmatch(r"([0-9a-f]{32})\n", record.read(64))
        if left and not command_supervisor.end_all(left[1]):
            raise UserError(
                f"a command of an earlier attempt in {folder} cannot be ended: end the processes that have "
                f"{command_supervisor.TOKEN_VARIABLE}={left[1]} in their environment"
            )
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

    :mod:`emo_bench.methods.command.supervisor` ends all processes that the command started, including daemons in
    sessions of their own. It does so when the command ends, when the time is up, and when this process is interrupted,
    gets SIGTERM or SIGHUP, or is killed.

    Args:
        command: the command for ``/bin/sh``.
        what: the step, for messages, e.g. ``my-method: fit``.
        timeout_s: the greatest time of the command, in seconds.
        environment: variables that replace or extend the environment of this process.
        record: the record of :func:`sole_command`.

    Raises:
        UserError: it failed, was killed or took too long; the message names the log.
    """
    token, kills_before = secrets.token_hex(16), kills_by_kernel()
    words = [sys.executable, "-P", command_supervisor.__file__, token, str(os.getpid()), command]
    with open_in_place(log, "ab") as output, leaving_in_order():
        output.write(f"$ {command}\n".encode())
        output.flush()
        begin = output.tell()
        _note(record, f"{token}\n")
        # The command gets its own session, so that Ctrl-C reaches it only through this process.
        supervisor = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=workdir,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            code = supervisor.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{what} took longer than {timeout_s:g} s and was ended; raise timeout_s, or see {log}"
            ) from None
        finally:
            _end(supervisor, token)
            _note(record, "")
    if code < 0 or (code > 128 and code - 128 in set(signal.Signals)):
        number = -code if code < 0 else code - 128
        raise UserError(f"{what} was killed by {signal_name(number)}{cause_of_kill(number, kills_before)} (see {log})")
    if code:
        raise UserError(f"{what} failed with exit code {code}: {last_line(log, begin)} (see {log})")


def _end(supervisor: subprocess.Popen[bytes], token: str) -> None:
    """Tell the supervisor to end its command. If the supervisor was killed, end the remaining processes here.

    An interruption meanwhile does not stop this.
    """
    try:
        if supervisor.poll() is None:
            supervisor.terminate()
            supervisor.wait(timeout=2 * (command_supervisor.GRACE_S + command_supervisor.GONE_S))
    except subprocess.TimeoutExpired:
        log.warning("the supervisor of a command did not end and was killed")
    finally:
        with suppress(ProcessLookupError):
            supervisor.kill()
        if supervisor.wait() < 0:
            command_supervisor.end_all(token)


def _note(record: TextIO, text: str) -> None:
    record.truncate(0)
    record.write(text)
    record.flush()


def signal_name(number: int) -> str:
    """Return the signal's name, e.g. ``SIGKILL`` for 9; ``signal 35`` if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        # Real-time signals between the first and the last have no name.
        return f"signal {number}"


def last_line(log: Path, begin: int = 0) -> str:
    """Return the last line after byte ``begin`` that is not empty, shortened for a message."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return last[:SHOWN_CHARACTERS] or "no output"
