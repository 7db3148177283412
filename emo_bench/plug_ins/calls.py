"""Call code that is not ours: separate its errors from our bugs, and contain its prints and its working directory."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from emo_bench.errors import FAILED, MethodError, Terminated, UserError, shortened
from emo_bench.system.endings import machine_failure
from emo_bench.system.libraries import missing_library
from emo_bench.text.plain_text import printable

# Errors of the machine that any code can get; they are not bugs of the plug-in.
_OF_THE_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}
_OURS = (__file__, contextlib.__file__)
# Greatest number of characters of a traceback: an error message may quote a file of a gigabyte.
_LONGEST_TRACEBACK = 20_000

log = logging.getLogger("emo_bench")


@contextmanager
def plug_in_call(who: str, what: str, *, show_traceback: bool = True) -> Iterator[None]:
    """Run foreign code in the block.

    An exception becomes a MethodError of one line, and its traceback goes to the log once. Three kinds of exceptions
    pass unchanged: what the user can fix (UserError), what the machine refuses (a full disk, no memory), and
    interruptions. A child process that the code forked ends when it leaves the block.

    Args:
        who: the plug-in, e.g. ``method my-avatar``.
        what: the function that is called, e.g. ``fit``.
        show_traceback: whether the traceback goes to the log.

    Raises:
        MethodError: the code failed, called ``sys.exit``, or read a held-out frame.
        UserError: out of memory, or the code raised it.
    """
    process = os.getpid()
    try:
        yield
        _end_forked_child(process, who)
    except (UserError, Terminated, KeyboardInterrupt) as passed:
        _end_forked_child(process, who, passed)
        raise
    except BaseException as raised:  # GeneratorExit too: none of our generators is closed inside such a block.
        _end_forked_child(process, who, raised)
        error = _tellable(raised)
        if isinstance(error, PermissionError) and "held out" in str(error):
            raise MethodError(f"{who} broke the protocol: {error}") from error
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        refused = missing_library(error) if isinstance(error, OSError) else machine_failure(error)
        if refused is not None:
            raise UserError(f"{who}: {what}: {refused}") from error
        if show_traceback:
            log.error("traceback of %s:\n%s", who, own_traceback(error))
        raise MethodError(f"{who}: {what} failed: {in_words(error)}{_at(error)}") from error


@contextmanager
def kept_apart(who: str) -> Iterator[None]:
    """Send what the block prints to stdout to stderr; restore the streams and the working directory afterwards.

    stdout is reserved for the output of a command. ``os._exit`` in the block ends the process as a failure, with one
    line. Blocks may be nested, and may run in several threads. A child process that was forked in the block ends when
    it leaves the block.
    """
    folder, process = _working_directory(), os.getpid()
    _divert()
    try:
        yield
        _end_forked_child(process, who)
    except BaseException as error:
        _end_forked_child(process, who, error)
        raise
    finally:
        _bring_back()
        now = _working_directory()
        if folder is not None and now != folder:
            os.chdir(folder)
            log.warning("note: %s changed the working directory; it was changed back", who)


def in_words(error: BaseException) -> str:
    """Describe an exception in one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return shortened(" ".join(f"{type(error).__name__}: {error}".split()), 400)


def own_traceback(error: BaseException) -> str:
    """Return the traceback as a program of its own would print it: it starts at the first line that is not ours.

    A long traceback loses its middle, and control characters are escaped.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_our_callers()):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    text = "".join(lines).rstrip("\n")
    if len(text) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        text = f"{text[:half]} [...] {text[-half:]}"
    return "\n".join(map(printable, text.split("\n")))


def place_of(error: BaseException) -> str:
    """Return the ``file:line`` of an error; ``""`` if only Python's import machinery could be named."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    machinery = ("<frozen ", str(Path(importlib.__file__).parent), *_our_callers())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(machinery)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _tellable(error: BaseException) -> BaseException:
    """Return the error, or a replacement if the error's own message cannot be read without an exception."""
    try:
        str(error)
    except BaseException:  # noqa: BLE001 - the message is foreign code, too
        stand_in = RuntimeError(f"{type(error).__name__}, whose message cannot be told")
        return stand_in.with_traceback(error.__traceback__)
    return error


def _at(error: BaseException) -> str:
    place = place_of(error)
    return f" ({place})" if place else ""


def _our_callers() -> tuple[str, ...]:
    rooms = Path(__file__).parents[1]
    callers = (
        "plug_ins/loading.py",
        "methods/registry.py",
        "methods/watched.py",
        "metrics/watched.py",
        "metrics/metric.py",
    )
    return (*_OURS, *(str(rooms / caller) for caller in callers))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # The folder was removed.
        return None


class _Unclosed:
    """A stream that foreign code may close; the process's own stream stays open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def close(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class _Streams:
    """The streams stdout and stderr: Python's objects, and duplicates of the process's descriptors by their numbers."""

    stdout: Any
    stderr: Any
    descriptors: dict[int, int]


_leave = os._exit
_lock = threading.Lock()
_depth = 0
_kept = _Streams(None, None, {})
_process = os.getpid()


def _divert() -> None:
    """Send stdout, of Python and of the process, to stderr; only the outermost of nested calls does it."""
    global _depth, _kept, _process
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        descriptors = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
            sys.stderr.flush()
            for number in (1, 2):
                descriptors[number] = os.dup(number)
            os.dup2(2, 1)
        _kept, _process = _Streams(sys.stdout, sys.stderr, descriptors), os.getpid()
        sys.stdout = sys.stderr = _Unclosed(sys.stderr)  # type: ignore[assignment]
        os._exit = _leave_as_failed


def _bring_back() -> None:
    global _depth, _kept
    with _lock:
        _depth -= 1
        if _depth:
            return
        os._exit = _leave
        sys.stdout, sys.stderr = _kept.stdout, _kept.stderr
        for number, duplicate in _kept.descriptors.items():
            with contextlib.suppress(OSError):
                os.dup2(duplicate, number)
                os.close(duplicate)
        _kept = _Streams(None, None, {})


def _end_forked_child(process: int, who: str, error: BaseException | None = None) -> None:
    """End this process if it is a child that the plug-in forked: the child would do our work a second time.

    After ``sys.exit`` the child ends with the code of that call.
    """
    if os.getpid() == process:
        return
    if isinstance(error, SystemExit) and not isinstance(error, Terminated):
        code = error.code
        _leave(0 if code is None else code if isinstance(code, int) else FAILED)
    why = "returned from the plug-in" if error is None else f"failed: {in_words(_tellable(error))}"
    _write_to_stderr(f"{who} forked, and the child process {why}; it is ended, the run goes on without it")
    _leave(FAILED)


def _write_to_stderr(text: str) -> None:
    """Print a line on the process's original stderr, also while the streams are redirected or closed."""
    with contextlib.suppress(OSError):
        os.write(_kept.descriptors.get(2, 2), f"emo-bench: {printable(text)}\n".encode("utf-8", "backslashreplace"))


def _leave_as_failed(status: int) -> NoReturn:
    """Replace ``os._exit``: a child process may call it; in this process it would end an unfinished run with code 0."""
    if os.getpid() != _process:
        _leave(status)
    _write_to_stderr(f"a method or metric ended the process with os._exit({status!r})")
    _leave(FAILED)
