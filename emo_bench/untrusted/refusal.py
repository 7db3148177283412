"""Why a file cannot be read, in one short line whatever the file holds."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError

MOST_CHARACTERS = 160


class Unreadable(ValueError):
    """A file holds what no reader here takes; the message is the reason, without the file's name."""


@contextmanager
def reading(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Open and parse a file as :func:`refusing` does, after a look at what kind of file it is.

    Raises:
        UserError: also for a path that is missing or no regular file (a pipe would wait for ever).
    """
    with refusing(path, what, remedy):
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable("it is not a regular file")
        yield


@contextmanager
def refusing(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever a parser raises on a hostile file into one UserError: "PATH cannot be read as a WHAT (reason)".

    Args:
        path: where the file is.
        what: the file is meant to be.
        remedy: what to do, behind the reason.

    A UserError from inside gets the file's name in front where it lacks it.
    """
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        raise UserError(f"{path} cannot be read as a {what} ({one_line(error)}){remedy}") from error


def one_line(error: BaseException) -> str:
    """The first line of an exception's message, short and printable, or its kind where it has none."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, LookupError) and not isinstance(error, UnicodeError):
        return "it refers to something that the file does not hold"
    try:
        lines = str(error).strip().splitlines()
    # The message is made from the file's content, which can fail.
    except Exception:  # noqa: BLE001
        lines = []
    return short(lines[0]) if lines else type(error).__name__


def short(text: str, most: int = MOST_CHARACTERS) -> str:
    """``text`` without control characters, cut to ``most`` characters."""
    printable = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return printable if len(printable) <= most else f"{printable[: most - 3]}..."


def shown(value: Any) -> str:
    """A value of a file for a line of text: short plain values as they are, of any other its kind."""
    if isinstance(value, str | bytes):
        return short(repr(value[:40]), 48) + ("..." if len(value) > 40 else "")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return repr(value)
    return f"a value of the kind {type(value).__name__}"
