"""Read TOML files that users write; each problem is one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.untrusted.regular_file import read_regular

LIMIT_BYTES = 4 * 2**20


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UserError: it is missing, not a regular file, too large, not TOML, nested too deeply, or holds a null character.
    """
    try:
        content = tomllib.loads(read_regular(path, LIMIT_BYTES).decode("utf-8"))
        null = _holds_null(content)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    # Not UTF-8, not TOML, or a number with more digits than Python converts.
    except ValueError as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} cannot be read as TOML: it is nested too deeply") from error
    if null:
        raise UserError(f"{path} holds a null character, which is not allowed in a name, path or argument: remove it")
    return content


def _holds_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_null(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(_holds_null(part) for part in value)
    return isinstance(value, str) and "\0" in value
