"""The arguments of the calls of ``import emo_bench``: a value of a wrong kind is one line that names the argument."""

from __future__ import annotations

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import NoneType
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

from emo_bench.errors import UserError, shortened
from emo_bench.runs.settings import Value
from emo_bench.system.endings import machine_failure

# Allowed heights of an embedded clip, in pixels.
VIDEO_PX = range(32, 1025)

P = ParamSpec("P")
R = TypeVar("R")


def checked(call: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a call by their annotations, and turn an error of the machine into a UserError.

    Paths become text, numpy's whole numbers become int, and one name becomes a list of one name.

    Raises:
        UserError: an argument is of a wrong kind, or a file cannot be read or written, or memory is lacking.
    """
    signature = inspect.signature(call)

    @functools.wraps(call)
    def checked_call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            # The call itself says which argument is missing or unknown, and its message has the name of the call.
            return call(*args, **kwargs)
        for name, kind in _kinds(call).items():
            if name in given.arguments:
                given.arguments[name] = _checked(name, given.arguments[name], kind)
        try:
            return call(*given.args, **given.kwargs)
        except (UserError, BrokenPipeError):
            raise
        except Exception as error:
            line = machine_failure(error)
            if line is None:
                raise
            raise UserError(line) from error

    return checked_call


@functools.cache
def _kinds(call: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of the arguments."""
    return {name: kind for name, kind in get_type_hints(call).items() if name != "return"}


def _checked(name: str, value: object, kind: Any) -> object:
    """Return the value as the call takes it; UserError if it is not of this kind."""
    if NoneType in get_args(kind):
        if value is None:
            return None
        kind = functools.reduce(operator.or_, (part for part in get_args(kind) if part is not NoneType))
    try:
        return _CHECKS[kind](value)
    except ValueError as error:
        raise UserError(f"{name}: give {error}, not {shortened(repr(value))}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    if "\0" in value:
        raise ValueError("text without a null character")
    return value


def _path(value: object) -> str:
    path = os.fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(path, str):
        raise ValueError("a path as text or as a Path")
    if "\0" in path:
        raise ValueError("a path without a null character")
    return path


def _whole_number(value: object) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError("a whole number") from error


def _number(value: object) -> float:
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError("a number") from error


def _true_or_false(value: object) -> bool:
    try:
        if not isinstance(value, bool) and operator.index(value) not in (0, 1):  # type: ignore[arg-type]
            raise TypeError
        return bool(value)
    except TypeError as error:
        raise ValueError("True or False") from error


def _settings(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("a mapping from names to values, such as {'resolution_px': 64}")
    return value


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        return [_text(value)]
    if not isinstance(value, Iterable):
        raise ValueError("a name or a list of names")
    return [_text(name) for name in value]


def _labels(value: object) -> list[int]:
    try:
        labels = [_whole_number(label) for label in value]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        labels = [-1]
    if not all(0 <= label <= 255 for label in labels):
        raise ValueError("a list of whole numbers from 0 to 255")
    return labels


def _paths(value: object) -> str | list[str]:
    if isinstance(value, (str, bytes, PathLike)):
        return _path(value)
    if not isinstance(value, Iterable):
        raise ValueError("a path or a list of paths")
    return [_path(path) for path in value]


# An argument of a public call has one of these annotations, or one of them with None.
_CHECKS: dict[Any, Callable[[Any], object]] = {
    str: _text,
    int: _whole_number,
    float: _number,
    bool: _true_or_false,
    str | PathLike[str]: _path,
    Mapping[str, Value]: _settings,
    str | Sequence[str]: _names,
    Sequence[int]: _labels,
    str | PathLike[str] | Sequence[str | PathLike[str]]: _paths,
}
