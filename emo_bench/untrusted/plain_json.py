"""JSON of untrusted files: bounded, without NaN, and equal after it is written and read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.untrusted.refusal import Unreadable
from emo_bench.untrusted.regular_file import read_regular

# Maximum depth of nested lists; Python's own parser fails at about a thousand.
DEEPEST = 100
# Greatest length of JSON in the metadata of a file.
MOST_CHARACTERS = 1 << 20


def read_json(path: Path, limit_bytes: int) -> Any:
    """Read the value of a JSON file; NaN and the infinities become the texts ``nan``, ``inf`` and ``-inf``.

    Raises:
        UserError: it is not a regular file, too large, not JSON, or nested too deeply.
        FileNotFoundError: there is no such file.
    """
    content = read_regular(path, limit_bytes)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_named, parse_float=_number)
        return value if _is_plain(content) else plain(value)
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} cannot be read ({said})") from error


def _is_plain(content: bytes) -> bool:
    r"""Return whether :func:`plain` has nothing to do: no ``\u`` (half of a character?) and little nesting."""
    return b"\\u" not in content and content.count(b"{") + content.count(b"[") <= DEEPEST


def parse_json(text: str, what: str) -> dict[str, Any]:
    """Parse the object in ``text``.

    Raises:
        Unreadable: it is not a JSON object, is too long, or is nested too deeply.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"{what} has {len(text):,} characters")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise Unreadable(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{what} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{what} is not a JSON object")
    return found


def plain(value: Any) -> Any:
    """Convert a value to what JSON returns for it: tuples become lists; keys and unsupported values become text.

    NaN and infinities become text too: NaN is not equal to itself, so a run whose description holds it would never
    match.

    Raises:
        ValueError: the value is nested more than ``DEEPEST`` deep.
    """
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _text(str(float(value)))
    if isinstance(value, Mapping):
        return {_text(_key(key)): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, depth + 1) for entry in value]
    return _text(str(value))


def _key(key: Any) -> str:
    """Convert a key to text as json.dumps does."""
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return str(key)


def _text(text: str) -> str:
    """Escape lone surrogates, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _named(constant: str) -> str:
    return {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[constant]


def _number(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else str(value)
