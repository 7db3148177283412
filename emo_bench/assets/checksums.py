"""SHA-256 of files and folders, and record files for those without a hash in the catalogue."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from emo_bench.files import write_bytes

RECORD_SUFFIX = ".sha256"
# A line that sha256sum takes for a comment.
_STAMP = "# not read again while size, dates and inode have the digest "


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, cached until the file changes; OSError if it cannot be read."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


def digest(path: Path, patterns: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of a file; for a folder, of ``sha256sum FILES...`` on the sorted matching files."""
    if not patterns:
        return sha256_of(path)
    files = sorted(file.relative_to(path).as_posix() for file in files_of(path, patterns))
    lines = [f"{sha256_of(path / file)}  {file}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files_of(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the file itself, or the sorted files of a folder that match one of the patterns."""
    if not patterns:
        return [path]
    return sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})


def lacking(path: Path, patterns: Iterable[str]) -> list[str]:
    """Return the patterns that no file of a folder matches."""
    return [pattern for pattern in patterns if not any(file.is_file() for file in path.glob(pattern))]


def record_path(path: Path) -> Path:
    """Return the path of the hash record next to a file or folder, in the format of ``sha256sum --check``."""
    return path.with_name(path.name + RECORD_SUFFIX)


def write_record(path: Path, patterns: tuple[str, ...] = ()) -> None:
    """Record the present hashes of a file or folder."""
    _write(path, patterns, _record(path, patterns))


def is_as_recorded(path: Path, patterns: tuple[str, ...] = ()) -> bool:
    """Return whether a file or folder agrees with its record; True if there is no record.

    Files whose size, dates and inode are those of the record are not read again: a folder may hold gigabytes. A date is
    compared for equality, because a clock may be set back.
    """
    record = record_path(path)
    if not record.is_file():
        return True
    first, *lines = record.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    # Records of older versions have no line with the dates.
    hashes = "".join(lines) if first.startswith(_STAMP) else "".join([first, *lines])
    if first == f"{_STAMP}{_stamp(path, patterns)}\n":
        return True
    if hashes != _record(path, patterns):
        return False
    if os.access(record, os.W_OK):
        _write(path, patterns, hashes)
    return True


def _write(path: Path, patterns: tuple[str, ...], hashes: str) -> None:
    write_bytes(record_path(path), f"{_STAMP}{_stamp(path, patterns)}\n{hashes}".encode())


def _stamp(path: Path, patterns: tuple[str, ...]) -> str:
    """Return a digest of the size, the dates and the inode of each file."""
    found = []
    for file in files_of(path, patterns):
        about = file.stat()
        name = file.relative_to(path.parent).as_posix()
        found.append((name, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino))
    return hashlib.sha256(repr(found).encode()).hexdigest()[:32]


def _record(path: Path, patterns: tuple[str, ...]) -> str:
    files = files_of(path, patterns)
    return "".join(f"{sha256_of(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size_bytes: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
