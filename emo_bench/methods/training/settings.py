"""The settings of a method: a profile replaces defaults, and the user's ``--set`` replaces both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from emo_bench.errors import UserError
from emo_bench.methods.interface import GPU_PROFILE, Workspace, gpu_resolution_px
from emo_bench.methods.max_minutes import without_limit
from emo_bench.methods.settings import MethodSettings, resolve

Config = TypeVar("Config", bound=MethodSettings)


def resolve_settings(
    name: str, model: type[Config], profiles: Mapping[str, Mapping[str, Any]], workspace: Workspace
) -> Config:
    """Return the configuration of a fit.

    Args:
        name: the method's name, for messages.
        model: the class of the configuration; its fields are the settings, its defaults those of the ``cpu`` profile.
        profiles: the fields that each profile changes; a function computes a field from the resolution in pixels.
        workspace: the requested profile and the settings: fields and values as text; the numbers of a tuple are
            separated by commas. ``max_minutes`` is no field, because the training loop reads it. Profile ``gpu``
            renders at the capture's size, unless a setting names another one.

    Raises:
        UserError: an unknown profile or field, or a value that does not fit.
    """
    profile, settings = workspace.profile, without_limit(workspace.settings)
    if profile not in profiles:
        raise UserError(f"{name} has no profile {profile!r}; its profiles: {', '.join(profiles)}")
    values: dict[str, Any] = dict(profiles[profile])
    if profile == GPU_PROFILE:
        size_px = gpu_resolution_px(workspace.capture_px, settings.get("resolution_px"))
        values = {key: value(size_px) if callable(value) else value for key, value in values.items()}
        values["resolution_px"] = size_px
    return resolve(model, values, settings, name=name)
