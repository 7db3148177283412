"""The meaning of ``--set KEY=VALUE``, for the commands and for ``emo_bench.run``.

- ``edit.KEY`` is a setting of the edit.
- ``max_minutes`` is a setting of every trained method: the limit on the time of its fit.
- ``clip`` is the CLIP model of every CLIP score, and of the edit's training unless ``edit.clip`` names another one.
- Any other key is a setting of the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emo_bench.errors import UserError
from emo_bench.methods.max_minutes import OPTION, SETTING, plain_text

EDIT_PREFIX = "edit."
CLIP = "clip"
ANY_CLIP = "auto"

Value = str | int | float | bool


@dataclass(frozen=True)
class SortedSettings:
    """Settings, sorted by what they change, as text.

    Attributes:
        method: settings of the method.
        edit: settings of the edit, without the prefix ``edit.``.
        clip: the CLIP model of CLIP scores; ``"auto"`` is the first one on this machine.
    """

    method: Mapping[str, str] = field(default_factory=dict)
    edit: Mapping[str, str] = field(default_factory=dict)
    clip: str = ANY_CLIP


def sorted_settings(given: Mapping[str, Value]) -> SortedSettings:
    """Sort settings by what they change.

    Args:
        given: settings as a user gives them, e.g. ``{"preset": "literal", "edit.steps": 80, "clip": "portraits"}``.

    Returns:
        The settings of each part. A value becomes the text that one would type after ``--set KEY=``.

    Raises:
        SettingError: ``max_minutes`` is not a possible limit.
    """
    text = {key: as_text(value) for key, value in given.items()}
    if SETTING in text:
        text[SETTING] = plain_text(text)
    clip = text.pop(CLIP, ANY_CLIP)
    edit = {key.removeprefix(EDIT_PREFIX): text.pop(key) for key in list(text) if key.startswith(EDIT_PREFIX)}
    return SortedSettings(text, edit, clip)


def with_max_minutes(given: Mapping[str, Value], max_minutes: float | None) -> Mapping[str, Value]:
    """Return the settings with the limit of ``--max-minutes``; UserError if they have one already."""
    if max_minutes is None:
        return given
    if SETTING in given:
        raise UserError(f"{OPTION} and --set {SETTING} mean the same: leave out one of them")
    return {**given, SETTING: max_minutes}


def as_text(value: Value) -> str:
    """Return the value as a user types it, e.g. ``true``, ``0.5``, ``literal``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
