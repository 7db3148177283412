"""A method's settings: a frozen model with bounded fields; the user's settings, as text, replace the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from emo_bench.errors import SettingError, shortened
from emo_bench.methods.max_minutes import OPTION, SETTING
from emo_bench.text.closest import closest
from emo_bench.untrusted.schema import reason_of

SHOWN_CHARACTERS = 40


def _known_distance(name: str) -> str:
    # This module comes with torch, which only a fit needs.
    from emo_bench.perceptual import DISTANCES

    if name not in DISTANCES:
        raise ValueError(f"choose one of {', '.join(DISTANCES)}")
    return name


PerceptualName = Annotated[str, AfterValidator(_known_distance)]
# Settings that many trained methods share, with their bounds.
StepCount = Annotated[int, Field(ge=1, le=100_000_000)]
CheckpointInterval = Annotated[int, Field(ge=1, le=1_000_000)]
BatchSize = Annotated[int, Field(ge=1, le=1024)]
LearningRate = Annotated[float, Field(gt=0, le=10)]
Share = Annotated[float, Field(gt=0, le=1)]
LossWeight = Annotated[float, Field(ge=0, le=1e6)]


class MethodSettings(BaseModel):
    """Base class of a configuration: it refuses unknown fields, NaN and infinity.

    Every number has a lower and an upper bound, so that impossible values are refused before a folder is made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Settings = TypeVar("Settings", bound=MethodSettings)


def resolve(
    model: type[Settings], chosen: Mapping[str, Any], settings: Mapping[str, str], *, name: str, prefix: str = ""
) -> Settings:
    """Return the configuration of a fit.

    Args:
        model: the class of the configuration; its fields are the settings.
        chosen: fields that a profile or preset sets.
        settings: the user's settings, as text; the members of a tuple are separated by commas.
        name: the method's name, for messages.
        prefix: the prefix of a setting's name on the command line, e.g. ``edit.``.

    Raises:
        SettingError: an unknown field, or a value that does not fit; the message names the setting.
    """
    values = dict(chosen)
    for key, text in settings.items():
        field = model.model_fields.get(key)
        if field is None and key == SETTING and not prefix:
            raise SettingError(f"{OPTION}: {name} trains nothing that it could limit: leave it out")
        if field is None:
            raise unknown_setting(name, key, model.model_fields, prefix)
        is_tuple = get_origin(field.annotation) is tuple
        values[key] = tuple(part.strip() for part in text.split(",")) if is_tuple and text.strip() else text
        if not text.strip():
            if not (is_tuple and field.default == ()):
                raise SettingError(f"--set {prefix}{key}=: give a value, as in {prefix}{key}={_example(model, key)}")
            values[key] = ()
    try:
        return model(**values)
    except ValidationError as error:
        raise SettingError(_line(error, settings, name, prefix)) from error


def unknown_setting(name: str, key: str, known: Iterable[str], prefix: str = "") -> SettingError:
    """Return the error for a setting that method ``name`` does not have: the closest one, or else all."""
    shown, near = prefix + shortened(key, SHOWN_CHARACTERS), closest(key, known)
    listed = ", ".join(prefix + one for one in sorted(known)) or "none"
    hint = f"did you mean {prefix}{near}?" if near else f"its settings: {listed}"
    return SettingError(f"--set {shown}: {name} has no setting {shown!r}; {hint}")


def _line(error: ValidationError, settings: Mapping[str, str], name: str, prefix: str) -> str:
    first = error.errors(include_url=False)[0]
    message = reason_of(first)
    if not first["loc"]:
        # This is a check of several settings together; its message begins with the name of one of them.
        return f"{name}: --set {prefix}{message}"
    key = str(first["loc"][0])
    given = f"={shortened(settings[key], SHOWN_CHARACTERS)}" if key in settings else ""
    return f"{name}: --set {prefix}{key}{given}: {message}"


def _example(model: type[MethodSettings], key: str) -> str:
    default = model.model_fields[key].get_default(call_default_factory=True)
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
