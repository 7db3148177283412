"""A baseline's choices: profiles laid over its defaults, the user's ``--set`` over both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from emo_bench.errors import UserError
from emo_bench.method_settings import MethodSettings, resolve

Config = TypeVar("Config", bound=MethodSettings)


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
    return resolve(model, profiles[profile], settings, name=name)
