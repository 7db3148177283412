"""Results of recorded frames (faces, embeddings) that are kept in files, so that no later run computes them again.

A result is found by the SHA-256 of the frame's pixels, so it holds for one size, resize filter and background, and
frames that change under the file are computed again. Everything else that it depends on is in the file: the network
with its SHA-256, versions of libraries, the device, the processor, and the code that calls the network.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.files import open_in_place, replacing, try_lock
from emo_bench.untrusted.npy import read_npz

FORMAT = 1
# A file holds at most this many frames, the latest ones: 14 MB of MediaPipe's faces.
MOST_FRAMES = 16384
SUFFIX, LOCK = ".npz", ".lock"
LOCK_SECONDS = 5.0

log = logging.getLogger("emo_bench")

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Keeping(Generic[T]):
    """How the results of a detector or a network are kept.

    Attributes:
        name: the beginning of the file's name.
        about: all that a result depends on besides the frame's pixels; plain text.
        fields: type (numpy's code) and shape (None: any length) of every array that a result may have.
        pack: the arrays of a result; all results have the same.
        unpack: the result with these arrays.
    """

    name: str
    about: Mapping[str, str]
    fields: Mapping[str, tuple[str, tuple[int | None, ...]]]
    pack: Callable[[T], Arrays]
    unpack: Callable[[Arrays], T]

    @property
    def file_name(self) -> str:
        """The name of the file, with the first digits of the SHA-256 of ``about``."""
        return f"{self.name}-{hashlib.sha256(self.about_json).hexdigest()[:16]}{SUFFIX}"

    @property
    def about_json(self) -> bytes:
        """``about`` as JSON."""
        return json.dumps({**self.about, "format": str(FORMAT)}, sort_keys=True).encode()


class KeptResults:
    """The kept results of a capture's frames; threads may use it together.

    Args:
        folders: where the files are read from, and written to: into the first folder in which this is possible.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def recall(self, keeping: Keeping[T], digest: bytes, compute: Callable[[], T | None]) -> T | None:
        """Return the kept result of the frame with this SHA-256; otherwise compute it, and keep it from now on."""
        with self._lock:
            if keeping.file_name not in self._tables:
                self._tables[keeping.file_name] = _Table(keeping, self._read(keeping), {})
            table = self._tables[keeping.file_name]
        if digest in table.found:
            arrays = table.found[digest]
            return None if arrays is None else keeping.unpack(arrays)
        result = compute()
        with self._lock:
            table.found[digest] = table.added[digest] = None if result is None else keeping.pack(result)
        return result

    def save(self) -> None:
        """Write the new results; a place that cannot be written costs a line in the log, never the scores."""
        for table in self._tables.values():
            if table.added:
                self._write(table)

    def _read(self, keeping: Keeping[Any]) -> dict[bytes, Arrays | None]:
        found: dict[bytes, Arrays | None] = {}
        for folder in reversed(self._folders):
            found |= _read(folder / keeping.file_name, keeping)
        return found

    def _write(self, table: _Table) -> None:
        reasons = []
        for folder in self._folders:
            path = folder / table.keeping.file_name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with _locked(folder / LOCK):
                    # Another process may have added frames since.
                    rows = _read(path, table.keeping) | table.added
                    _write(path, table.keeping, dict(list(rows.items())[-MOST_FRAMES:]))
            except (OSError, UserError) as error:
                reasons.append(" ".join(str(error).split())[:200])
                continue
            table.added.clear()
            return
        log.warning("%s of recorded frames are not kept: %s", table.keeping.name, "; ".join(reasons))


@dataclass
class _Table:
    """The results of one file, by the frames' SHA-256 (None: no face), and those that the file lacks."""

    keeping: Keeping[Any]
    found: dict[bytes, Arrays | None]
    added: dict[bytes, Arrays | None]


def _read(path: Path, keeping: Keeping[Any]) -> dict[bytes, Arrays | None]:
    """Read a file; it is empty if there is none, and, with a warning, if it is damaged."""
    if not path.exists():
        return {}
    try:
        arrays = dict(read_npz(path, ("about", "frames", "face", "sha256", *keeping.fields), "file of kept results"))
        return _rows(arrays, keeping)
    except (UserError, ValueError, KeyError, IndexError, TypeError) as error:
        log.warning("%s is damaged (%s): its frames are processed again", path, " ".join(str(error).split())[:200])
        return {}


def _rows(arrays: dict[str, NDArray[Any]], keeping: Keeping[Any]) -> dict[bytes, Arrays | None]:
    """Return the results in the arrays of a file.

    Raises:
        ValueError, KeyError, UserError: the file is damaged, or not about this network.
    """
    stored = arrays.pop("sha256").tobytes()
    if stored != _digest(arrays):
        raise ValueError("its digest differs")
    if arrays.pop("about").tobytes() != keeping.about_json:
        raise ValueError("it is about another network")
    frames, face = arrays.pop("frames"), arrays.pop("face")
    rows: dict[bytes, Arrays | None] = {}
    row = 0
    for digest, has_face in zip(frames, face, strict=True):
        rows[digest.tobytes()] = {name: values[row] for name, values in arrays.items()} if has_face else None
        row += int(has_face)
    for name, values in arrays.items():
        code, shape = keeping.fields[name]
        if values.dtype != np.dtype(code) or len(values) != row or not _fits(values.shape[1:], shape):
            raise ValueError(f"{name} is {values.dtype} {list(values.shape)}")
    for one in rows.values():
        if one is not None:
            keeping.unpack(one)
    return rows


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, have) for want, have in zip(wanted, shape, strict=True))


def _write(path: Path, keeping: Keeping[Any], rows: Mapping[bytes, Arrays | None]) -> None:
    with_face = [arrays for arrays in rows.values() if arrays is not None]
    names = with_face[0].keys() if with_face else ()
    content: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(keeping.about_json, np.uint8),
        "frames": np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1),
        "face": np.array([arrays is not None for arrays in rows.values()]),
        **{name: np.stack([arrays[name] for arrays in with_face]) for name in names},
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content, sha256=np.frombuffer(_digest(content), np.uint8))  # type: ignore[arg-type]


def _digest(arrays: Arrays) -> bytes:
    whole = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        whole.update(f"{name} {values.dtype.str} {values.shape}".encode())
        whole.update(np.ascontiguousarray(values).tobytes())
    return whole.digest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a folder by its file ``path``; a UserError says that another process holds it for too long."""
    give_up = time.monotonic() + LOCK_SECONDS
    with open_in_place(path, "ab") as file:
        while not try_lock(file):
            if time.monotonic() > give_up:
                raise UserError(f"{path} is locked by another process")
            time.sleep(0.02)
        yield
