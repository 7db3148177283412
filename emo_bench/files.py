"""Write, lock and remove files. Each is written whole or not at all; a link at its path is not followed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

from emo_bench.errors import UserError

# Name of a temporary file: a dot, the beginning of the file's own name, 16 random hexadecimal digits, ".part".
TEMPORARY = re.compile(r"\.(?P<of>.+)-[0-9a-f]{16}\.part")
# Number of characters of the file's own name that are kept: at four bytes each, the temporary name stays below 255
# bytes, the limit of a file system.
NAME_CHARACTERS = 50
DEVICES = Path("/dev")
# Ending of the hidden file that holds what a file held before it was written anew.
PREVIOUS = ".previous"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a new empty file beside ``path``; when the block ends well, this file replaces ``path``.

    A reader sees the old file or the new one, also after a power cut. The new file has the mode that ``open`` would
    give it, whatever the writer did. After an exception ``path`` is unchanged, and there is no temporary file. The file
    that a killed process left is removed by the next writer of the same file, and by :func:`remove_left_over`. A
    symbolic link at ``path`` is replaced, not followed.

    Yields:
        The path to write to, by any means. The file there may be replaced by another one.

    Raises:
        UserError: ``path`` is a device such as /dev/null; root could replace it for the whole machine.
        OSError: the folder is missing, full or not writable, or ``path`` is a folder. The error names ``path``.
    """
    _refuse_device(path)
    remove_left_over(path.parent, path.name)
    temporary = path.with_name(f".{path.name[:NAME_CHARACTERS]}-{secrets.token_hex(8)}.part")
    with _naming(path, temporary):
        yield from _written(path, temporary)


def _refuse_device(path: Path) -> None:
    # Links in /dev such as /dev/stdout are refused too.
    device = path.absolute().parent == DEVICES
    with suppress(OSError):
        device = device or stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFCHR, stat.S_IFBLK)
    if device:
        raise UserError(f"{path} is a device, and only a file can be written whole: give a file's path")


def _written(path: Path, temporary: Path) -> Iterator[Path]:
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        # The lock shows that the writer is alive; the umask determines the mode.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        yield temporary
        _sync(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Put ``path`` into an OSError of the block: the error of a full disk names no file or only the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary), temporary):
            raise
        # An error of PyAV that names another file is kept; an OSError with the same number is raised here.
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as :func:`replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as :func:`replacing` does."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def previous_of(path: Path) -> Path:
    """Return where the earlier content of a file is kept, by those who keep it."""
    return path.with_name(f".{path.name}{PREVIOUS}")


def remove_previous(folder: Path) -> None:
    """Remove the earlier contents of all files of a folder."""
    for path in folder.glob(f".*{PREVIOUS}"):
        path.unlink(missing_ok=True)


def remove_left_over(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files that killed processes left in a folder, all of them or those of the file ``name``."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            match = TEMPORARY.fullmatch(entry.name)
            if match and (name is None or match["of"] == name[:NAME_CHARACTERS]):
                remove_if_dead(Path(entry.path), stat.S_IFREG)


def try_lock(file: int | IO[Any]) -> bool:
    """Lock an open file or folder for this process until it is closed; return False if another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_if_dead(path: Path, kind: int) -> None:
    """Remove an unfinished file or folder of a killed process; a living process holds its lock, and it stays.

    Args:
        path: a file or a folder.
        kind: ``stat.S_IFREG`` or ``stat.S_IFDIR``; anything else at ``path`` stays.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # Another process has removed it, or it is not ours.
        return
    try:
        if stat.S_IFMT(os.fstat(descriptor).st_mode) == kind and try_lock(descriptor):
            shutil.rmtree(path, ignore_errors=True) if kind == stat.S_IFDIR else path.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder with all its content, as far as possible; of a link to a folder only the link is removed."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def file_sha256(path: Path) -> str | None:
    """Return the hexadecimal SHA-256 of a regular file; None if there is none that can be read."""
    if not path.is_file():
        return None
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


@overload
def open_in_place(path: Path, mode: Literal["a", "a+"], *, newline: str | None = None) -> TextIO: ...
@overload
def open_in_place(path: Path, mode: Literal["ab"]) -> BinaryIO: ...
def open_in_place(path: Path, mode: str, *, newline: str | None = None) -> IO[Any]:
    """Open a file that is written directly (a log, a lock), and create it if needed; a link or a device is refused.

    Args:
        mode, newline: as for ``open``; text is UTF-8.

    Raises:
        UserError: the path is not a regular file.
        OSError: as for ``open``.
    """
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, encoding=encoding, newline=newline, opener=_open_regular)


def _open_regular(name: str, flags: int) -> int:
    """Open a file for ``open``: do not follow a link, and do not wait for a reader of a pipe."""
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if os.path.lexists(name) and not stat.S_ISREG(os.lstat(name).st_mode):
            raise _not_regular(name) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(name)
    return descriptor


def _not_regular(name: str) -> UserError:
    return UserError(f"{name} is a link or not a regular file: remove it")


def _sync(temporary: Path, mode: int) -> None:
    """Write a file's data to disk and give it an ordinary file's mode, because some libraries make private files."""
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            # A hard link to another user's file keeps its mode.
            with suppress(PermissionError):
                os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Write a folder's new names to disk, if the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
