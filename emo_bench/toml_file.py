"""TOML files that users write: read whole, or refused in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.regular_file import read_regular

LIMIT_BYTES = 4 * 2**20


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UserError: it is missing, no regular file, too large, no TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(read_regular(path, LIMIT_BYTES).decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    # Not UTF-8, no TOML, or a number of more digits than Python turns into one.
    except ValueError as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} cannot be read as TOML: it is nested too deeply") from error
