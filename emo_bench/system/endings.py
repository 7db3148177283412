"""How our programs end: the line on stderr and the exit code for each kind of error."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from emo_bench.errors import BROKEN_PIPE, FAULT, INTERRUPTED, MISTAKE, Terminated, UserError, shortened
from emo_bench.system.libraries import missing_library
from emo_bench.system.memory import lack_of_memory
from emo_bench.text.console import open_closed_streams, show_any_text

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or write elsewhere",
    errno.EDQUOT: "your disk quota is used up: free some space, or write elsewhere",
    errno.EFBIG: "the file would be larger than this system allows (see: ulimit -f): write elsewhere",
    errno.EROFS: "the disk is read-only: write elsewhere",
    errno.EACCES: "permission denied: change its permissions, or choose another place",
    errno.EPERM: "permission denied: change its permissions, or choose another place",
    errno.EISDIR: "it is a folder, but a file is needed: give another path",
    errno.ENOTDIR: "a part of the path is a file, but must be a folder: give another path",
    errno.EEXIST: "it exists already and is not a folder: give another path",
    errno.ENOTEMPTY: "the folder is not empty: give another path",
    errno.ENAMETOOLONG: "the name is too long: give a shorter one",
    errno.ENOENT: "there is no such file or folder: check the path",
    errno.ELOOP: "its links form a circle: give another path",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "the disk cannot be read or written: check it, or choose another place",
    errno.EBUSY: "something else uses it: wait, or choose another place",
}


def exit_code(work: Callable[[], object]) -> int:
    """Run the work of a ``python -m MODULE`` and return what it returns: 0, or the code of :func:`ending`."""
    open_closed_streams()
    show_any_text()
    try:
        made = work()
        if made is not None:
            print(made)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the one door
        return ending(error, "error")
    return 0


def ending(error: BaseException, program: str) -> int:
    """Print the error on stderr, in one line if the user can do something about it, and return the exit code.

    Args:
        error: the exception that ended the work.
        program: the program's name, the beginning of the line.
    """
    if _is_broken_pipe(error):
        _silence_stdout()
        return BROKEN_PIPE
    if isinstance(error, Terminated):
        return error.code if isinstance(error.code, int) else FAULT
    if isinstance(error, KeyboardInterrupt):
        _say(f"{program}: interrupted; the same command goes on from here")
        return INTERRUPTED
    if isinstance(error, UserError):
        _say(f"{program}: {error}")
        return error.exit_code
    line = machine_failure(error)
    if line is not None:
        _say(f"{program}: {line}")
        return MISTAKE
    if isinstance(error, SystemExit):
        _say(f"{program}: sys.exit({error.code!r}) was called before the work was done ({_innermost(error)})")
        return FAULT
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exception(error)
    _say(f"{program}: this is a bug of the program: please report it with the lines above")
    return FAULT


def machine_failure(error: BaseException) -> str | None:
    """Describe in one line an error of the machine, with the path and what to do; None for any other error.

    Such errors are files that cannot be read or written (OSError, from any library), lack of memory (MemoryError, and
    torch's variants of it), and missing libraries that packages load.
    """
    lacking = missing_library(error)
    if lacking is not None:
        return lacking
    lacking = lack_of_memory(error)
    if lacking is not None:
        return lacking
    if isinstance(error, OSError):
        return _file_failure(error)
    # Libraries written in other languages (safetensors, torch) report the error only in the message.
    said = str(error)
    if type(error).__name__ == "SafetensorError" and "os error" in said:
        return f"a file cannot be written or read: {' '.join(said.split())[:200]}"
    return None


def _file_failure(error: OSError) -> str:
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, (str, bytes))]
    if not paths and isinstance(error.filename, Path):
        paths = [str(error.filename)]
    number = error.errno
    if number is None:
        return " ".join(f"{type(error).__name__}: {error}".split())[:400]
    what = _REMEDIES.get(number, f"{(error.strerror or os.strerror(number))}: choose another place")
    return f"{' -> '.join(shortened(path) for path in paths)}: {what}" if paths else what


def _is_broken_pipe(error: BaseException) -> bool:
    """Return whether the reader of this program's output has ended; typer converts that error to SystemExit."""
    cause = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(cause, OSError) and cause.errno == errno.EPIPE and cause.filename is None


def _silence_stdout() -> None:
    """Redirect stdout to nothing: Python flushes it again when it exits, and would report the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "place unknown"


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
