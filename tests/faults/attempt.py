"""One command: it runs to its end, or gets a signal some time after a stage began."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIRST, LAST = "start-up", "report"
# The lines of the log with which a run, an edit or a stage begins.
_RUN = re.compile(r"(?P<name>[\w-]+) on actor |edit (?P<style>[\w-]+) of ")
_STAGE = re.compile(r"(?P<stage>fit|render|score): (?P<what>start|already done|done)")
LONGEST_S = 1200.0
TOLD_LINES = 15


@dataclass(frozen=True)
class Kill:
    """A signal ``after_s`` seconds after a stage began."""

    moment: str
    after_s: float
    signal: signal.Signals


@dataclass(frozen=True)
class Attempt:
    """How a command ended: its exit code (negative for a signal), the end of its log, and the seconds of each stage."""

    code: int
    told: str
    seconds: dict[str, float]


def attempt(command: Sequence[str], environment: Mapping[str, str], kill: Kill | None = None) -> Attempt:
    """Run a command; with ``kill`` it gets the signal when its moment has come."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    began = time.monotonic()
    told: list[str] = []
    starts = {FIRST: began}
    run, at = "", _time_of(kill, FIRST, began)
    while True:
        wait_s = max(min(at, began + LONGEST_S) - time.monotonic(), 0)
        try:
            line = lines.get(timeout=wait_s)
        except queue.Empty:
            process.send_signal(kill.signal if kill is not None and time.monotonic() >= at else signal.SIGKILL)
            at = float("inf")
            began = time.monotonic()
            continue
        if line is None:
            break
        told.append(line)
        run = _run_of(line) or run
        moment = _moment(line, run)
        if moment:
            starts.setdefault(moment, time.monotonic())
            at = min(at, _time_of(kill, moment, time.monotonic()))
    code = process.wait()
    ends = [*list(starts.values())[1:], time.monotonic()]
    seconds = {name: end - start for (name, start), end in zip(starts.items(), ends, strict=True)}
    return Attempt(code, "".join(told[-TOLD_LINES:]), seconds)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.put(line)
    lines.put(None)


def _run_of(line: str) -> str | None:
    found = _RUN.match(line)
    return found and (found["name"] or "edit")


def _moment(line: str, run: str) -> str | None:
    """The moment that begins with a line of the log: a stage, or the report after the last run's score."""
    found = _STAGE.match(line)
    if found is None:
        return None
    if found["what"] == "start":
        return f"{run}, {found['stage']}"
    return LAST if run == "nearest-frame" and found["stage"] == "score" else None


def _time_of(kill: Kill | None, moment: str, now: float) -> float:
    return now + kill.after_s if kill is not None and kill.moment == moment else float("inf")
