"""The readers of pickles by name, and files as numpy and torch lay them out around a content of any kind."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_bench.errors import UserError
from emo_bench.untrusted.npy import read_npy
from emo_bench.untrusted.refusal import reading
from emo_bench.untrusted.torch_archive import read_torch

GOOD_HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


def torch_zip(content: bytes, members: dict[str, bytes] | None = None, how: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive as torch.save lays it out."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, data in (members or {"data/0": bytes(40)}).items():
            archive.writestr(f"archive/{name}", data)
    return made.getvalue()


def read_array(path: Path) -> np.ndarray:
    """The array of a `.npy` file; its mistakes are UserErrors, as the readers of the toolkit raise them."""
    with reading(path, "array"), path.open("rb") as file:
        return read_npy(file, path.stat().st_size)


def read_prior(path: Path) -> Any:
    from emo_avatar.checkpoints import load_stylegan2

    return load_stylegan2(path)


DOORS: dict[str, tuple[Callable[[bytes], bytes], Callable[[Path], Any]]] = {
    "torch": (torch_zip, lambda path: read_torch(path, "file")),
    "prior": (lambda content: content, read_prior),
}


@contextmanager
def little_memory(most_mib: int = 80) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_mib << 20
    finally:
        tracemalloc.stop()


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """The one line with which ``path`` is refused."""
    with pytest.raises(UserError) as caught:
        read(path)
    line = str(caught.value)
    assert str(path) in line and line.isprintable() and len(line) < len(str(path)) + 300
    return line


def npy(header: str, data: bytes = bytes(24), version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode("latin1")
    wide = struct.pack("<H" if version == 1 else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + wide + raw + data
