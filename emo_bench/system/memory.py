"""Lack of memory: how libraries report it, and whether the kernel has ended a process because of it."""

from __future__ import annotations

import errno
import re
import resource
import signal
from contextlib import suppress
from pathlib import Path

# Messages of torch, CUDA, OpenCV, the loader of libraries, threads, and libraries in C++.
_SAID = re.compile(
    r"not enough memory|(can't|cannot|could not) allocate memory|insufficient memory|out of memory|std::bad_alloc|"
    r"failed to map segment|can't start new thread|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
REMEDY = "end other programs, or choose smaller settings (a lower resolution, a smaller batch)"
_COUNTER = Path("/proc/vmstat")


def lack_of_memory(error: BaseException) -> str | None:
    """Say in one line that memory ran out, with what to do; None for any other error."""
    if not _is_lack(error):
        return None
    detail = " ".join(str(error).split())[:200]
    return f"out of memory{f' ({detail})' if detail else ''}: {REMEDY}{_own_limit()}"


def kills_by_kernel() -> int:
    """Return how many processes Linux has ended on this machine because memory was full; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in _COUNTER.read_text(encoding="utf-8").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def cause_of_kill(number: int, kills_before: int, remedy: str = REMEDY) -> str:
    """Return what follows "killed by SIGNAL": the cause, if it is or may be a lack of memory, and what to do.

    Args:
        number: the signal that ended a process.
        kills_before: :func:`kills_by_kernel` before the process was started.
        remedy: what to do.
    """
    if number != signal.SIGKILL:
        return ""
    if kills_by_kernel() > kills_before:
        return f", because memory ran out (the kernel ended it): {remedy}"
    return f"; if nobody ended it, memory ran out: {remedy}"


def _is_lack(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        # A thread that cannot be started is EAGAIN; FFmpeg starts some for each video.
        return error.errno in (errno.ENOMEM, errno.EAGAIN)
    # OpenCV's own class is called error.
    if isinstance(error, (RuntimeError, ImportError)) or type(error).__module__ == "cv2":
        return type(error).__name__ == "OutOfMemoryError" or bool(_SAID.search(str(error)))
    return False


def _own_limit() -> str:
    """Name the limit of this process, if it has one: then the machine may have enough memory."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return "" if limit == resource.RLIM_INFINITY else f", or raise the limit of {limit / 2**30:.1f} GiB (ulimit -v)"
