"""The states of jobs by ``squeue``, which every Slurm has; ``sacct`` needs a database that small clusters lack."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection

# Least time between two calls.
ASK_S = 10.0
# A job that ended or left the queue may still have its result on the way through a network's file system.
GRACE_S = 60.0
# States of jobs that may still give a result; a job in any other state has ended.
ALIVE = frozenset(
    {
        "COMPLETING",
        "CONFIGURING",
        "PENDING",
        "PREEMPTED",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "RESV_DEL_HOLD",
        "RUNNING",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
        "SUSPENDED",
    }
)
GONE = "not in the queue any more"


class SlurmQueue:
    """Knows which jobs have ended without a result.

    Args:
        clock: the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: float | None = None
        # For each job that seems to have ended: since when, and its state.
        self._ended: dict[str, tuple[float, str]] = {}

    def ended(self, jobs: Collection[str]) -> dict[str, str]:
        """Return the states of the jobs that ended some time ago; none are returned if Slurm does not answer.

        Args:
            jobs: ids as submitit writes them: ``77``, or ``77_3`` for a job of an array.
        """
        now = self._clock()
        if jobs and (self._asked is None or now - self._asked >= ASK_S):
            self._asked = now
            self._ask(jobs, now)
        return {job: state for job, (since, state) in self._ended.items() if job in jobs and now - since >= GRACE_S}

    def _ask(self, jobs: Collection[str], now: float) -> None:
        states = _states()
        if states is None:
            return
        for job in jobs:
            state = states.get(job, GONE)
            if state in ALIVE:
                self._ended.pop(job, None)
            else:
                since, _ = self._ended.get(job, (now, ""))
                self._ended[job] = (since, state)


def _states() -> dict[str, str] | None:
    """Return the state of each job of this user; None if Slurm does not answer."""
    words = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    pairs = (line.split() for line in told.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
