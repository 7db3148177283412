"""A baseline's choices: a frozen pydantic model, profiles laid over it, the user's ``--set`` over both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from emo_bench.errors import UserError

Config = TypeVar("Config", bound=BaseModel)


def resolve_settings(
    name: str,
    model: type[Config],
    profiles: Mapping[str, Mapping[str, Any]],
    profile: str,
    settings: Mapping[str, str],
) -> Config:
    """The configuration of a fit.

    Args:
        name: of the method, for messages.
        model: its fields are the settings, its defaults those of the ``cpu`` profile.
        profiles: what each profile changes.
        profile: the one that was asked for.
        settings: fields and values as text; the numbers of a tuple are separated by commas.

    Raises:
        UserError: an unknown profile or field, or a value that does not fit.
    """
    if profile not in profiles:
        raise UserError(f"{name} has no profile {profile!r}; its profiles: {', '.join(profiles)}")
    values: dict[str, Any] = dict(profiles[profile])
    for key, text in settings.items():
        field = model.model_fields.get(key)
        if field is None:
            raise UserError(
                f"{name} has no setting {key!r}; its settings: {', '.join(sorted(model.model_fields))}"
            )
        is_tuple = str(field.annotation).startswith("tuple")
        values[key] = tuple(part for part in text.split(",") if part) if is_tuple else text
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}: --set {place}: {first['msg']}") from error
