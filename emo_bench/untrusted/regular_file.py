"""Check that files named by a user are regular: a pipe, a socket or a device would make a reader wait."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from emo_bench.errors import UserError

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
MEGABYTE = 10**6
# A file that is larger than it said is read in such pieces.
PIECE_BYTES = 2**20


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


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of at most ``most_bytes``.

    Raises:
        UserError: it is not a regular file, or it is larger.
        OSError: there is no such file, or it cannot be read.
    """
    try:
        # Do not wait for a process that writes to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # A socket cannot be opened at all.
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not a regular file") from error
        raise
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UserError(f"{path} is not a regular file")
        # A buffer of the largest allowed size might have no room in memory.
        content = file.read(min(about.st_size, most_bytes) + 1)
        # The file grows, or is one of /proc, whose size is 0.
        while about.st_size < len(content) <= most_bytes and (more := file.read(PIECE_BYTES)):
            content += more
    if len(content) > most_bytes:
        raise UserError(f"{path} is larger than {most_bytes / MEGABYTE:,.0f} MB, more than such a file can have")
    return content


def read_given(path: Path, what: str, most_bytes: int) -> bytes:
    """Read a file that the user names, as :func:`read_regular`; ``what`` as in :func:`require_regular`.

    Raises:
        UserError: it is absent, too large, not a regular file, or cannot be read.
    """
    require_regular(path, what)
    try:
        return read_regular(path, most_bytes)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): give {what}") from error


def _require(mode: int, path: Path, what: str) -> None:
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is {KINDS.get(stat.S_IFMT(mode), 'not a regular file')}: give {what}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
