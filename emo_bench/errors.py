"""Errors that a user can fix, and the exit codes of our programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from emo_bench.text.closest import closest
from emo_bench.text.plain_text import printable

# A check or a plug-in failed.
FAILED = 1
# The user's mistake, or what this machine lacks.
MISTAKE = 2
# A bug of ours; no command uses this code for anything else (EX_SOFTWARE of sysexits.h).
FAULT = 70
INTERRUPTED = 130
# A shell reports this code when the reader of a program's output has ended (128 + SIGPIPE).
BROKEN_PIPE = 141

# The greatest length of a line; the file content that it quotes may be a gigabyte.
LONGEST = 2000


class UserError(Exception):
    """The user's mistake or a missing piece: one clear line that says what is wrong and what to do.

    The command line prints the line without a traceback and exits with code 2. Whatever the line quotes, it stays one
    line of bounded length that cannot steer a terminal: see :func:`one_line`.
    """

    exit_code: ClassVar[int] = MISTAKE

    def __init__(self, line: str) -> None:
        super().__init__(one_line(line))


class MethodError(UserError):
    """A method or metric broke its promise: one line; its own traceback, if any, is in the log. Exit code 1."""

    exit_code: ClassVar[int] = FAILED


class Terminated(SystemExit):
    """A signal told this process to end: what has been begun is left in order on the way out."""


def unknown_name(kind: str, name: str, known: Iterable[str], others: str = "") -> UserError:
    """The error for a name that nothing has: it lists the known names and asks whether the closest one was meant.

    Args:
        kind: what was named, e.g. ``method``.
        name: as the user gave it.
        known: all names.
        others: what may stand in place of a name, as text behind the list.
    """
    known = list(known)
    near = closest(name, known)
    guess = f"; did you mean {near}?" if near else ""
    return UserError(f"there is no {kind} {name!r} (known: {', '.join(known)}{others}){guess}")


def one_line(text: str) -> str:
    r"""A text as one line: white space is a blank, other control characters are written out (``\x1b``), the middle of
    what is too long is left out.
    """
    # Twice, because a character that is written out takes six.
    return _without_middle(printable(_without_middle(text)))


def _without_middle(text: str) -> str:
    half = LONGEST // 2 - 5
    return text if len(text) <= LONGEST else f"{text[:half]} [...] {text[-half:]}"


def shortened(text: str, most: int = 200) -> str:
    """A text of one line with its middle left out when it is long."""
    line = " ".join(text.split()) if any(not c.isprintable() for c in text) else text
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-most // 2 :]}"
