"""Files that a user names are regular ones: a pipe, a socket or a device is refused before it can make anything wait."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from emo_bench.errors import UserError

KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip
MEGABYTE = 10**6


def require_regular(path: Path, what: str) -> None:
    """Check that ``path``, or what it links to, is a regular file; ``what`` says what it should be, e.g. "a video".

    Raises:
        UserError: it is absent, or something else.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        gone = " links to nothing" if path.is_symlink() else ": no such file"
        raise UserError(f"{path}{gone}; give {what}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): give {what}") from error
    _require(mode, path, what)


def read_regular(path: Path, what: str, most_bytes: int) -> bytes:
    """The content of a regular file of at most ``most_bytes``.

    Raises:
        UserError: it is absent, larger, something else than a regular file, or cannot be read.
    """
    require_regular(path, what)
    try:
        # Without waiting for a writer, should a pipe have taken the file's place.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            _require(state.st_mode, path, what)
            if state.st_size > most_bytes:
                raise UserError(
                    f"{path} has {state.st_size / MEGABYTE:,.0f} MB, more than {what} can have "
                    f"({most_bytes / MEGABYTE:,.0f} MB)"
                )
            return file.read(most_bytes)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): give {what}") from error


def _require(mode: int, path: Path, what: str) -> None:
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is {KINDS.get(stat.S_IFMT(mode), 'no regular file')}: give {what}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
