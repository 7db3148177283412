"""Read numpy's ``.npy`` and ``.npz`` files of plain numbers without numpy's own parser of their headers."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from emo_bench.untrusted.arrays import MOST_AXES, array_of, checked_shape, plain_dtype
from emo_bench.untrusted.budget import SLACK_BYTES
from emo_bench.untrusted.refusal import Unreadable, reading, short

MAGIC = b"\x93NUMPY"
MOST_HEADER_BYTES = 4096
# Tracks of long videos without motion are compressed to about a twentieth.
BYTES_A_PACKED_BYTE = 64
ITEM = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*
        (?:(['"])(?P<text>[^'"\\]*)\3 | (?P<flag>True|False) | \((?P<shape>[\d\s,]*)\))\s*(?:,|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class NpyHeader:
    """The description of the array in a ``.npy``: ``code`` and ``order`` are arguments of ``plain_dtype``."""

    code: str
    order: str
    fortran: bool
    shape: tuple[int, ...]


def read_header(file: IO[bytes]) -> NpyHeader:
    """Read the header of a ``.npy``; afterwards the file's position is at the data.

    Raises:
        Unreadable: the version is not 1 to 3, or the header holds more than a type, an order and a shape.
    """
    magic = file.read(8)
    if magic[:6] != MAGIC:
        raise Unreadable("it does not begin as a .npy file does")
    if magic[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise Unreadable("its version of the .npy format is not supported")
    wide = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(wide), "little")
    if not 0 < length <= MOST_HEADER_BYTES:
        raise Unreadable(f"its header claims to have {length} bytes")
    raw = file.read(length)
    text = raw.decode("latin1").strip()
    if len(raw) != length or not (text.startswith("{") and text.endswith("}")):
        raise Unreadable("its header is cut or damaged")
    found: dict[str, str] = {}
    at, inner = 0, text[1:-1].strip()
    while at < len(inner):
        item = ITEM.match(inner, at)
        if item is None:
            raise Unreadable("its header holds more than the type, order and shape of an array of plain numbers")
        at = item.end()
        found[item["key"]] = item[{"descr": "text", "fortran_order": "flag", "shape": "shape"}[item["key"]]]
    if any(found.get(key) is None for key in ("descr", "fortran_order", "shape")):
        raise Unreadable("its header lacks the type, the order or the shape")
    code = found["descr"].lstrip("<>=|")
    axes = [axis.strip() for axis in found["shape"].split(",")]
    axes = axes[:-1] if axes[-1] == "" else axes
    if len(axes) > MOST_AXES or not all(axis.isdecimal() and len(axis) < 16 for axis in axes):
        raise Unreadable("its header gives no shape")
    order = found["descr"][: -len(code)] if code else ""
    return NpyHeader(code, order or "=", found["fortran_order"] == "True", tuple(map(int, axes)))


def read_npy(file: IO[bytes], size: int) -> np.ndarray:
    """Read the array of a ``.npy`` of ``size`` bytes; plain numbers, exactly as many as its shape needs.

    Raises:
        Unreadable: the file is anything else.
    """
    header = read_header(file)
    dtype = plain_dtype(header.code, header.order)
    available = size - file.tell()
    checked_shape(header.shape, dtype.itemsize, available)
    return array_of(read_exactly(file, available), dtype, header.shape, "F" if header.fortran else "C")


def map_npy(path: Path, what: str) -> np.memmap:
    """Map the array of a large ``.npy`` of plain numbers read-only; ``what`` as for ``reading``.

    Raises:
        UserError: the file is anything else.
    """
    with reading(path, what), path.open("rb") as file:
        header = read_header(file)
        dtype, start = plain_dtype(header.code, header.order), file.tell()
        checked_shape(header.shape, dtype.itemsize, path.stat().st_size - start)
        return np.memmap(path, dtype, "r", start, header.shape, "F" if header.fortran else "C")


def read_exactly(file: IO[bytes], count: int) -> bytearray:
    """Read ``count`` bytes, which the caller has limited; Unreadable if the file has fewer."""
    # read() is not used: it would unpack a whole compressed member, whatever size the file claims.
    data = bytearray(count)
    if file.readinto(data) != count:  # type: ignore[attr-defined]
        raise Unreadable("it is cut")
    return data


def read_npz(path: Path, names: Iterable[str], what: str, remedy: str = "") -> Mapping[str, np.ndarray]:
    """Read those arrays ``names`` that a ``.npz`` holds; ignore other members. ``what``, ``remedy``: see ``reading``.

    Raises:
        UserError: the file cannot be read, holds other data than plain numbers, or unpacks to far more than its own
            size.
    """
    wanted = {f"{name}.npy": name for name in names}
    arrays: dict[str, np.ndarray] = {}
    with reading(path, what, remedy), zipfile.ZipFile(path) as archive:
        left = SLACK_BYTES + BYTES_A_PACKED_BYTE * path.stat().st_size
        for info in archive.infolist():
            if info.filename not in wanted:
                continue
            name = wanted[info.filename]
            left -= info.file_size
            if left < 0:
                raise Unreadable("it unpacks to far more than a file of its size may hold")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or name in arrays:
                raise Unreadable(f"its member {short(name)} is packed in an unknown way or there twice")
            try:
                with archive.open(info) as member:
                    arrays[name] = read_npy(member, info.file_size)
            except Exception as error:
                raise Unreadable(f"{short(name)}: {short(str(error)) or type(error).__name__}") from error
    return arrays
