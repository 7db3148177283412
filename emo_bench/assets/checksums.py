"""SHA-256 of files and folders, and record files for those without a hash in the catalogue."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from emo_bench.files import write_bytes

RECORD_SUFFIX = ".sha256"


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
    write_bytes(record_path(path), _record(path, patterns).encode())


def is_as_recorded(path: Path, patterns: tuple[str, ...] = ()) -> bool:
    """Return whether a file or folder agrees with its record; True if there is no record.

    Files that have not changed on disk since the record was written are not read again: a folder may hold gigabytes.
    """
    record = record_path(path)
    if not record.is_file():
        return True
    newest = max((file.stat().st_ctime_ns for file in files_of(path, patterns)), default=0)
    if newest < record.stat().st_ctime_ns:
        return len(record.read_text(encoding="utf-8").splitlines()) == len(files_of(path, patterns))
    if record.read_text(encoding="utf-8") != _record(path, patterns):
        return False
    if os.access(record, os.W_OK):
        os.utime(record)
    return True


def _record(path: Path, patterns: tuple[str, ...]) -> str:
    files = files_of(path, patterns)
    return "".join(f"{sha256_of(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size_bytes: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
