"""Check file content against a pydantic model; a mismatch is reported in one line of plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from emo_bench.errors import UserError
from emo_bench.text.closest import closest
from emo_bench.untrusted.refusal import short
from emo_bench.untrusted.toml_file import read_toml

PLACE_CHARACTERS, KEY_CHARACTERS = 80, 40
UNKNOWN, MISSING = "extra_forbidden", "missing"
# What is wrong, by pydantic's type of the error; for the others pydantic's own words are used.
WORDS = {
    MISSING: "this key is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list, as in [1, 2]",
    "list_type": "must be a list, as in [1, 2]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length} entries, and has {actual_length}",
    "too_long": "may have at most {max_length} entries, and has {actual_length}",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
}

Model = TypeVar("Model", bound=BaseModel)


def first_problem(error: ValidationError, whole: str = "", model: type[BaseModel] | None = None) -> str:
    """Return where the content does not fit and why, as ``place: reason``.

    A key that the model does not have comes first, because a misspelled key is also a missing one.

    Args:
        error: what pydantic found.
        whole: names the content as a whole.
        model: the model, so that the closest key can be named for a misspelled one.
    """
    found = error.errors(include_url=False, include_input=False)
    chosen = next((problem for problem in found if problem["type"] == UNKNOWN), found[0])
    is_unknown = chosen["type"] == UNKNOWN
    where = chosen["loc"][:-1] if is_unknown else chosen["loc"]
    place = short(".".join(map(str, where)), PLACE_CHARACTERS) or whole
    reason = _unknown_key(chosen["loc"], model) if is_unknown else reason_of(chosen)
    return f"{place}: {reason}" if place else reason


def read_toml_as(model: type[Model], path: Path, whole: str, **defaults: Any) -> Model:
    """Read a TOML file as a model; ``defaults`` are keys that the file may leave out.

    Raises:
        UserError: the file cannot be read, or does not fit; ``whole`` names the content if no single key is wrong.
    """
    content = {**defaults, **read_toml(path)}
    try:
        return model(**content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error, whole, model)}") from error


def reason_of(problem: Mapping[str, Any]) -> str:
    """Say in plain words what is wrong with a value; ``problem`` is one of pydantic's errors."""
    words = WORDS.get(problem["type"])
    if words is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    reason = words.format(**problem.get("ctx", {}))
    return reason.replace("at least 1 entries, and has 0", "at least one entry").replace("1 characters", "1 character")


def _unknown_key(place: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    """Say that there is no such key, and which ones there are."""
    key, known = short(str(place[-1]), KEY_CHARACTERS), [] if model is None else _keys_at(model, place[:-1])
    near = closest(key, known)
    if near is not None:
        return f"there is no key {key!r}; did you mean {near}?"
    return f"there is no key {key!r}" + (f"; the keys here: {', '.join(known)}" if known else "")


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a table of the content may have; ``place`` is the path to it."""
    here = [model]
    for part in place:
        # A number in a list, a name in a table of tables and the tag of a union lead to the same models.
        fields = [kind.model_fields[part] for kind in here if isinstance(part, str) and part in kind.model_fields]
        here = [kind for field in fields for kind in _models_in(field.annotation)] if fields else here
    return list(dict.fromkeys(key for kind in here for key in kind.model_fields))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type consists of, e.g. ``Grid`` of ``tuple[Grid, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
