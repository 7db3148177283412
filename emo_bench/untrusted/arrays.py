"""Construct numpy arrays from bytes of a file: plain numeric types only, with every size checked first.

The real ``numpy.dtype`` is never constructed from a file: its state can contain a field of object pointers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from emo_bench.untrusted.budget import Budget
from emo_bench.untrusted.pickle_machine import Builder, Stateful, dict_of, set_of
from emo_bench.untrusted.refusal import Unreadable, shown

PLAIN = re.compile(r"b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)")
TEXT = re.compile(r"[SU](\d{1,5})")
MOST_AXES = 32


def plain_dtype(code: Any, order: Any = "=") -> np.dtype:
    """Return numpy's type for a code such as ``f4`` and a byte order of ``< > = |``.

    Raises:
        Unreadable: the type is not a bool, an integer, a float or a complex number.
    """
    if type(code) is not str or not PLAIN.fullmatch(code):
        raise Unreadable(f"values of the type {shown(code)}, which are not plain numbers")
    if order not in ("<", ">", "=", "|"):
        raise Unreadable(f"values in the byte order {shown(order)}")
    return np.dtype(code).newbyteorder("=" if order == "|" else order)


def checked_shape(shape: Any, item_bytes: int, available: int) -> int:
    """Return the number of elements; Unreadable unless ``shape`` is a tuple of counts that fit ``available`` bytes."""
    if type(shape) is not tuple or len(shape) > MOST_AXES:
        raise Unreadable("an array without a shape")
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < 1 << 48:
            raise Unreadable(f"an axis of length {shown(length)}")
        count *= length
    if count * item_bytes != available:
        raise Unreadable(f"an array whose shape does not fit its {available} bytes")
    return count


def array_of(data: Any, dtype: np.dtype, shape: Any, order: str = "C") -> np.ndarray:
    """Return these bytes as an array, without a copy (read-only if the bytes are)."""
    count = checked_shape(shape, dtype.itemsize, len(data))
    if not count:
        return np.zeros(shape, dtype)
    values = np.frombuffer(data, dtype)
    return values.reshape(shape, order="F" if order == "F" else "C")


class PickledDtype(Stateful):
    """Replaces ``numpy.dtype``: a code and a byte order, no fields, no names, no subarrays."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if type(code) is not str or not (code in ("O8", "O") or PLAIN.fullmatch(code) or TEXT.fullmatch(code)):
            raise Unreadable(f"values of the type {shown(code)}, which are not plain numbers")
        self.code, self.order = code, "="

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or not 8 <= len(state) <= 9 or state[0] not in (3, 4):
            raise Unreadable("a number type with a state of a wrong form")
        if any(part is not None for part in (*state[2:5], *state[8:])):
            raise Unreadable("a number type with fields, names or subarrays")
        if type(state[1]) is not str or state[1] not in ("<", ">", "=", "|"):
            raise Unreadable("a number type without a byte order")
        self.order = state[1]

    @property
    def of_objects(self) -> bool:
        """Whether the values are objects of the pickle, not bytes."""
        return self.code[0] == "O"

    def scalar(self, data: Any) -> Any:
        """Decode one value from its bytes: a numpy scalar or a text."""
        if not isinstance(data, bytes | bytearray):
            raise Unreadable("a number that is not given as bytes")
        if self.code[0] == "S":
            return bytes(data).rstrip(b"\0")
        if self.code[0] == "U":
            return data.decode("utf-32-be" if self.order == ">" else "utf-32-le").rstrip("\0")
        return array_of(data, plain_dtype(self.code, self.order), ())[()]


class PickledArray(Stateful):
    """Replaces ``numpy.ndarray``; ``numpy.asarray`` returns its numbers, and refuses arrays of objects or texts."""

    def __init__(self, *_: Any) -> None:
        self._array: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or not isinstance(state[2], PickledDtype):
            raise Unreadable("an array with a state of a wrong form")
        _, shape, dtype, fortran, data = state
        if dtype.of_objects:
            if type(data) is not list:
                raise Unreadable("an array of objects that the file does not hold")
            checked_shape(shape, 1, len(data))
        elif not isinstance(data, bytes | bytearray):
            raise Unreadable("an array that is not given as bytes")
        elif not TEXT.fullmatch(dtype.code):
            self._array = array_of(data, plain_dtype(dtype.code, dtype.order), shape, "F" if fortran is True else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._array is None:
            raise Unreadable("an array of values that are not numbers")
        return np.array(self._array, dtype=dtype) if copy or dtype is not None else self._array


def numpy_builders(budget: Budget) -> Mapping[str, Builder]:
    """Return builders for the arrays, scalars and containers in pickles of numpy 1 and numpy 2."""

    def latin1(text: Any, encoding: Any) -> bytes:
        """Decode bytes as pickle protocol 2 stores them."""
        if type(text) is not str or encoding != "latin1":
            raise Unreadable("bytes in another encoding than latin1")
        budget.take_bytes(len(text))
        return text.encode("latin1")

    def no_bytes() -> bytes:
        return b""

    def scalar(dtype: Any, data: Any = b"") -> Any:
        if not isinstance(dtype, PickledDtype):
            raise Unreadable("a number without a type")
        return dtype.scalar(data)

    def from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
        made = PickledArray()
        made.set_state((1, shape, dtype, order == "F", data))
        return made

    builders: dict[str, Builder] = {
        "collections.OrderedDict": dict_of,
        # Protocol 2 stores empty bytes in this way.
        "builtins.bytes": no_bytes,
        "__builtin__.bytes": no_bytes,
        "builtins.set": set_of,
        "__builtin__.set": set_of,
        "_codecs.encode": latin1,
        "numpy.dtype": PickledDtype,
        "numpy.ndarray": PickledArray,
    }
    for core in ("numpy.core", "numpy._core"):
        builders[f"{core}.multiarray._reconstruct"] = PickledArray
        builders[f"{core}.multiarray.scalar"] = scalar
        builders[f"{core}.numeric._frombuffer"] = from_buffer
    return builders
