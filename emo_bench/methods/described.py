"""A method's description of its profiles, for ``emo-bench methods show``."""

from __future__ import annotations

from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, Workspace
from emo_bench.methods.registry import profiles_of
from emo_bench.methods.watched import build_watched


def profile_configs(cls: type[Method]) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    """Return the configuration of each profile, and for each profile that cannot be used on this machine, the reason.

    Args:
        cls: the class of the method.

    Returns:
        The entry ``config`` of the method's ``describe()`` by profile, and the reasons by profile, one line each. Each
        profile is in exactly one of the two.
    """
    configs: dict[str, dict[str, object]] = {}
    problems: dict[str, str] = {}
    for profile in profiles_of(cls):
        try:
            config = build_watched(cls, Workspace(Path(), profile, seed=0)).describe().get("config", {})
        except UserError as error:
            problems[profile] = str(error)
        else:
            configs[profile] = dict(config) if isinstance(config, dict) else {}
    return configs, problems


def settings_of(config: dict[str, object]) -> dict[str, object]:
    """Return the part of a configuration that ``--set`` can change; a command method's configuration holds more."""
    settings = config.get("settings", config)
    return settings if isinstance(settings, dict) else config
