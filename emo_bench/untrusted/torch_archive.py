"""Read ``torch.save`` files as plain values and CPU tensors: zip archives and the older stream format.

Torch's own ``weights_only`` reader lets a file choose sizes and strides before it checks how many bytes there are.
"""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from emo_bench.untrusted.arrays import MOST_AXES, numpy_builders
from emo_bench.untrusted.budget import Budget
from emo_bench.untrusted.npy import read_exactly
from emo_bench.untrusted.pickle_machine import Builder, Name, PickleMachine
from emo_bench.untrusted.refusal import Unreadable, reading, shown

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
DTYPES: Mapping[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.storage.UntypedStorage": torch.uint8,
}
# Number types and devices that a trainer's settings may name; they remain names.
INERT = tuple(f"torch.{kind}" for kind in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8"))


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers of one type in memory; tensors are views of them."""

    dtype: torch.dtype
    data: bytearray


def read_torch(path: Path, what: str, extra: Mapping[str, Builder] | None = None, remedy: str = "") -> Any:
    """Read the object in a ``torch.save`` file: plain values, arrays (``PickledArray``) and tensors on the CPU.

    Args:
        path: the file's path.
        what: the kind of file that is expected, for the error line.
        extra: further allowed names, with their builders.
        remedy: what the user should do, for the error line.

    Raises:
        UserError: it cannot be read, names anything that is not allowed, or asks for more memory than it holds.
    """
    with reading(path, what, remedy), path.open("rb") as file:
        budget = Budget(path.stat().st_size)
        if file.read(4) == ZIP_MAGIC:
            return _read_zip(file, budget, extra or {})
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return read_legacy(content, budget, extra or {})


def tensor_builders(budget: Budget) -> Mapping[str, Builder]:
    """Return the builders of tensors, arrays and containers in a pickle."""

    def tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        return view_of(storage, offset, size, stride, budget)

    def parameter(data: Any, *_: Any) -> Tensor:
        if not isinstance(data, Tensor):
            raise Unreadable("a parameter is not a tensor")
        return data

    def from_bytes(data: Any) -> Any:
        """Read a single storage in the older format; tensors in a plain pickle contain it."""
        if type(data) is not bytes:
            raise Unreadable("a storage that is not given as bytes")
        return read_legacy(io.BytesIO(data), budget, {}, nested=True)

    return {
        **numpy_builders(budget),
        **dict.fromkeys(DTYPES, _refuse_call),
        **dict.fromkeys(INERT, _refuse_call),
        "torch.device": lambda *_: None,
        "torch.Size": lambda sizes=(): sizes,
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter,
        "torch._utils._rebuild_parameter_with_state": parameter,
        "torch.storage._load_from_bytes": from_bytes,
    }


def view_of(storage: Any, offset: Any, size: Any, stride: Any, budget: Budget) -> Tensor:
    """Return the tensor of this shape in a storage.

    Raises:
        Unreadable: it extends beyond the storage, or repeats its numbers (stride 0) beyond the budget.
    """
    if not isinstance(storage, Storage):
        raise Unreadable("a tensor without a storage")
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride) or len(size) > MOST_AXES:
        raise Unreadable("a tensor without a shape")
    for number in (offset, *size, *stride):
        if type(number) is not int or not 0 <= number < 1 << 48:
            raise Unreadable(f"a tensor with a size, stride or offset of {shown(number)}")
    item = storage.dtype.itemsize
    held = len(storage.data) // item
    elements = 1
    for length in size:
        elements *= length
    if not elements:
        if any(length >= 1 << 31 for length in size):
            raise Unreadable("a tensor with an axis that no tensor has")
        return torch.empty(size, dtype=storage.dtype)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= held:
        raise Unreadable(f"a tensor that reaches beyond its {held} numbers")
    if elements > held:
        budget.take_bytes(elements * item)
    whole = torch.frombuffer(storage.data, dtype=storage.dtype, count=held)
    return whole.as_strided(size, stride, offset)


def _refuse_call(*_: Any) -> Any:
    raise Unreadable("it calls a storage type as a function")


def _storage_id(saved: Any) -> tuple[torch.dtype, str, int]:
    """Return type, key and count of elements in ``('storage', kind, key, location, count[, view])``."""
    if type(saved) is not tuple or not 5 <= len(saved) <= 6 or saved[0] != "storage" or saved[5:] not in ((), (None,)):
        raise Unreadable("a persistent id that does not describe a whole storage")
    _, kind, key, _, count = saved[:5]
    if not isinstance(kind, Name) or kind.full not in DTYPES:
        raise Unreadable("a storage of an unknown kind")
    if type(key) not in (str, int) or type(count) is not int or not 0 <= count < 1 << 48:
        raise Unreadable("a storage without a key or a size")
    return DTYPES[kind.full], str(key), count


def _read_zip(file: IO[bytes], budget: Budget, extra: Mapping[str, Builder]) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Unreadable("it holds no data.pkl, or several")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in members and _member(archive, members[f"{folder}byteorder"], budget) != b"little":
            raise Unreadable("its numbers are big-endian")
        kept: dict[str, bytearray] = {}

        def storage(saved: Any) -> Storage:
            dtype, key, count = _storage_id(saved)
            if key not in kept:
                kept[key] = _member(archive, members[f"{folder}data/{key}"], budget)
            if len(kept[key]) != count * dtype.itemsize:
                raise Unreadable(f"storage {shown(key)} has another size than the file says")
            return Storage(dtype, kept[key])

        content = io.BytesIO(_member(archive, members[pickles[0]], budget))
        return PickleMachine({**tensor_builders(budget), **extra}, budget, storage).read(content)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> bytearray:
    if info.compress_type != zipfile.ZIP_STORED:
        raise Unreadable("its members are compressed, which torch.save never does")
    budget.take_bytes(info.file_size)
    with archive.open(info) as member:
        return read_exactly(member, info.file_size)


def read_legacy(
    stream: IO[bytes] | mmap.mmap, budget: Budget, extra: Mapping[str, Builder], nested: bool = False
) -> Any:
    """Read the object of the format before torch 1.6: five pickles, then the bytes of the storages.

    Args:
        stream: the stream at its start.
        budget: the limits for the file that contains it.
        extra: further builders.
        nested: whether it is itself inside a pickle and holds only a storage; a third level is refused.
    """
    builders: Mapping[str, Builder] = dict.fromkeys(DTYPES, _refuse_call)
    if not nested:
        builders = {**tensor_builders(budget), **extra}
    kept: dict[str, Storage] = {}

    def storage(saved: Any) -> Storage:
        dtype, key, count = _storage_id(saved)
        if key not in kept:
            budget.take_bytes(count * dtype.itemsize)
            kept[key] = Storage(dtype, bytearray(count * dtype.itemsize))
        elif kept[key].dtype != dtype or len(kept[key].data) != count * dtype.itemsize:
            raise Unreadable(f"storage {shown(key)} is listed twice, with different types or sizes")
        return kept[key]

    def load(persistent: Callable[[Any], Any] | None = None) -> Any:
        return PickleMachine(builders, budget, persistent).read(stream)  # type: ignore[arg-type]

    if load() != LEGACY_MAGIC or load() != LEGACY_VERSION:
        raise Unreadable("it was not written by torch.save")
    system = load()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Unreadable("its numbers are not little-endian")
    content, keys = load(storage), load()
    if (
        type(keys) is not list
        or len(keys) != len(kept)
        or {str(key) for key in keys if type(key) in (str, int)} != set(kept)
    ):
        raise Unreadable("its storages are not the ones that it lists")
    for key in keys:
        held = kept[str(key)]
        if int.from_bytes(stream.read(8), "little") * held.dtype.itemsize != len(held.data):
            raise Unreadable(f"storage {shown(key)} has another size than the file says")
        data = stream.read(len(held.data))
        if len(data) != len(held.data):
            raise Unreadable("it is cut")
        held.data[:] = data
    return content
