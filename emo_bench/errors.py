"""Errors that a user can fix, and the exit codes of our programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from emo_bench.text.closest import meant
from emo_bench.text.plain_text import printable

# A check or a plug-in failed.
FAILED = 1
# Wrong input, or something that this machine lacks.
MISTAKE = 2
# A bug of ours; no command uses this code for anything else (EX_SOFTWARE of sysexits.h).
FAULT = 70
INTERRUPTED = 130
# A shell reports this code when the reader of a program's output has ended (128 + SIGPIPE).
BROKEN_PIPE = 141

# The greatest length of a line, in characters; the file content that it quotes may be a gigabyte.
LONGEST = 2000
# An error lists at most so many names, or so many of them and the place of the others.
MOST_NAMES, FIRST_NAMES = 20, 8


class UserError(Exception):
    """An error that the user can fix: one clear line that says what is wrong and what to do.

    The command line prints the line without a traceback and exits with code 2. The line is short and has no control
    characters, whatever text it quotes: see :func:`one_line`.
    """

    exit_code: ClassVar[int] = MISTAKE

    def __init__(self, line: str) -> None:
        super().__init__(one_line(line))


class SettingError(UserError):
    """A method does not have a setting, or the setting cannot have that value: wrong input on every machine."""


class MethodError(UserError):
    """A method or metric broke its contract: one line; its own traceback, if any, is in the log. Exit code 1."""

    exit_code: ClassVar[int] = FAILED


class Terminated(SystemExit):
    """A signal ends this process: unfinished work is cleaned up while this exception passes."""


def unknown_name(kind: str, name: str, known: Iterable[str], others: str = "", see: str = "") -> UserError:
    """Return the error for an unknown name: it lists the known names and suggests what was meant.

    Of more than 20 names it lists the first 8, if ``see`` says where all are.

    Args:
        kind: the kind of thing, e.g. ``method``.
        name: as the user gave it.
        known: all names.
        others: what the user may give instead of a name; this text follows the list.
        see: the command that lists all names.
    """
    known = list(known)
    near = meant(name, known)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    if see and len(known) > MOST_NAMES:
        others = f", {len(known) - FIRST_NAMES} more{others}"
        known, guess = known[:FIRST_NAMES], f"{guess or ';'} all names: {see}"
    return UserError(f"there is no {kind} {name!r} (known: {', '.join(known)}{others}){guess}")


def one_line(text: str) -> str:
    r"""Turn a text into one line: white space becomes a blank, other control characters are written as ``\x1b``.

    The middle of a text that is too long is left out.
    """
    # The text is shortened twice, because a written-out character takes six characters.
    return _without_middle(printable(_without_middle(text)))


def _without_middle(text: str) -> str:
    half = LONGEST // 2 - 5
    return text if len(text) <= LONGEST else f"{text[:half]} [...] {text[-half:]}"


def shortened(text: str, most: int = 200) -> str:
    """Return a one-line text; if it is long, its middle is left out."""
    line = " ".join(text.split()) if any(not c.isprintable() for c in text) else text
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-most // 2 :]}"
