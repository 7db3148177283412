"""Report why a file cannot be read, in one short line for any content of the file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError

MOST_CHARACTERS = 160


class Unreadable(ValueError):
    """The reader does not accept the file's content; the message is the reason, without the file's name."""


@contextmanager
def reading(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Open and parse a file like :func:`refusing`, after a check that it is a regular file.

    Raises:
        UserError: also if the path is missing or not a regular file (reading a pipe could wait for ever).
    """
    with refusing(path, what, remedy):
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable("it is not a regular file")
        yield


@contextmanager
def refusing(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Convert any error of a parser to one UserError: "PATH cannot be read as a WHAT (reason)".

    Args:
        path: the file's path.
        what: the kind of file that is expected.
        remedy: what the user should do; it follows the reason.

    A UserError raised inside the block gets the file's name in front if it lacks it.
    """
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        raise UserError(f"{path} cannot be read as a {what} ({reason_of(error)}){remedy}") from error


def reason_of(error: BaseException) -> str:
    """Return the first line of an exception's message, short and printable, or the exception's type."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, LookupError) and not isinstance(error, UnicodeError):
        return "it refers to something that the file does not hold"
    try:
        lines = str(error).strip().splitlines()
    # The message is made from the file's content, so making it can fail.
    except Exception:  # noqa: BLE001
        lines = []
    return short(lines[0]) if lines else type(error).__name__


def short(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return ``text`` without control characters, cut to ``most`` characters."""
    printable = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return printable if len(printable) <= most else f"{printable[: most - 3]}..."


def shown(value: Any) -> str:
    """Return a value of a file for an error line: a short plain value as it is, otherwise its type."""
    if isinstance(value, str | bytes):
        return short(repr(value[:40]), 48) + ("..." if len(value) > 40 else "")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return repr(value)
    return f"a value of the kind {type(value).__name__}"
