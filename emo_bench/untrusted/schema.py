"""Check file content against a pydantic model; a mismatch is reported in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from emo_bench.errors import UserError
from emo_bench.untrusted.refusal import short
from emo_bench.untrusted.toml_file import read_toml

PLACE_CHARACTERS = 80

Model = TypeVar("Model", bound=BaseModel)


def first_problem(error: ValidationError, whole: str = "") -> str:
    """Return where the content does not fit and why, as ``place: reason``; ``whole`` names the content as a whole."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = short(".".join(map(str, first["loc"])), PLACE_CHARACTERS)
    return f"{place or whole}: {first['msg']}"


def read_toml_as(model: type[Model], path: Path, whole: str, **defaults: Any) -> Model:
    """Read a TOML file as a model; ``defaults`` are keys that the file may leave out.

    Raises:
        UserError: the file cannot be read, or does not fit; ``whole`` names the content if no single key is wrong.
    """
    content = {**defaults, **read_toml(path)}
    try:
        return model(**content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error, whole)}") from error
