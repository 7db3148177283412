"""Read and check the TOML file of a command method."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from emo_bench.errors import UserError
from emo_bench.methods.command.layouts import LAYOUTS
from emo_bench.methods.interface import LEAST_PX, NAME, NAME_RULE
from emo_bench.text.closest import closest
from emo_bench.untrusted.toml_file import read_toml

PLACEHOLDERS = frozenset({"data", "work", "out", "count", "seed", "profile", "device", "resolution_px", "here"})
EDIT_PLACEHOLDERS = PLACEHOLDERS | {"style", "instruction", "source_caption", "target_caption"}
PLACEHOLDER = re.compile(r"\{([a-z_0-9]+)\}")


def _folder_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot name a folder: {NAME_RULE}")
    return text


_Name = Annotated[str, AfterValidator(_folder_name)]
_Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Table):
    """One command: ``command`` is for the shell, with placeholders in braces; ``timeout_s`` limits its time."""

    command: _Words
    timeout_s: float = Field(gt=0)


class RenderStep(Step):
    """A render command; ``frames`` is the folder or the video that it writes its frames to."""

    frames: _Words


class EditSteps(_Table):
    """The edit of a fitted avatar: ``edit`` makes it, ``render`` renders it, by default with the method's command."""

    fit: Step
    render: RenderStep | None = None


class CommandFile(_Table):
    """The content of a command method's TOML file; ``docs/add-a-command.md`` describes it."""

    name: _Name
    title: str
    licence: str
    fidelity: str
    paper: str = ""
    needs: tuple[str, ...] = ()
    resolution_px: int = Field(ge=LEAST_PX, le=4096)
    layout: str
    prefix: str = ""
    workdir: str = "."
    profiles: tuple[_Name, ...] = Field(default=("smoke", "cpu", "paper"), min_length=1)
    settings: dict[str, str] = {}
    environment: dict[str, str] = {}
    fit: Step
    render: RenderStep
    edit: EditSteps | None = None

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> CommandFile:
        if self.layout not in LAYOUTS:
            raise ValueError(f"there is no export layout {self.layout!r} (known: {', '.join(LAYOUTS)})")
        taken = sorted(set(self.settings) & EDIT_PLACEHOLDERS)
        if taken:
            raise ValueError(f"setting {taken[0]!r} has the name of a placeholder")
        known = PLACEHOLDERS | set(self.settings)
        for text in (self.prefix, self.fit.command, self.render.command, self.render.frames):
            _require_known(text, known)
        if self.edit is not None:
            edit_known = EDIT_PLACEHOLDERS | set(self.settings)
            _require_known(self.edit.fit.command, edit_known)
            if self.edit.render is not None:
                _require_known(self.edit.render.command, edit_known)
                _require_known(self.edit.render.frames, edit_known)
        return self


def read_command_file(path: Path) -> CommandFile:
    """Read and check a command method's file.

    Raises:
        UserError: it is missing, is not TOML, or has an unknown key; the message names the key.
    """
    if not path.exists():
        raise UserError(f"{path} is not a file; name a command method by its TOML file")
    try:
        return CommandFile(**read_toml(path))
    except ValidationError as error:
        errors = error.errors()
        # Report unknown keys first: a mistyped key also makes a required key missing, which is the less helpful
        # message.
        unknown = next((each["loc"] for each in errors if each["type"] == "extra_forbidden"), None)
        if unknown is not None:
            raise UserError(_unknown_key(path, [str(part) for part in unknown])) from error
        first = errors[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: {f'{place}: ' if place else ''}{message}") from error


_TABLES: Mapping[str, type[_Table]] = {
    "": CommandFile,
    "fit": Step,
    "render": RenderStep,
    "edit": EditSteps,
    "edit.fit": Step,
    "edit.render": RenderStep,
}


def _unknown_key(path: Path, place: list[str]) -> str:
    """Return the message about an unknown key; ``place`` is its path from the top of the file."""
    table = ".".join(place[:-1])
    known = list(_TABLES[table].model_fields)
    near = closest(place[-1], known)
    hint = f"did you mean {'.'.join([*place[:-1], near])}?" if near else f"known: {', '.join(known)}"
    return f"unknown key {'.'.join(place)} in {path}; {hint}"


def fill(text: str, values: Mapping[str, object], *, quote: bool = True) -> str:
    """Replace each placeholder ``{name}`` by its value, quoted for the shell; leave other braces unchanged."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return shlex.quote(str(values[match[1]])) if quote else str(values[match[1]])

    return PLACEHOLDER.sub(value, text)


def shell_command(step: str, prefix: str, values: Mapping[str, object]) -> str:
    """Return the whole command; behind a prefix (``conda run -n x``, ``docker run ... image``) ``sh`` runs the step."""
    command = fill(step, values)
    return f"{fill(prefix, values)} sh -c {shlex.quote(command)}" if prefix else command


def _require_known(text: str, known: frozenset[str] | set[str]) -> None:
    # ${NAME} is a variable of the shell, not a placeholder.
    for match in PLACEHOLDER.finditer(text):
        if match[1] not in known and text[max(0, match.start() - 1)] != "$":
            raise ValueError(f"unknown placeholder {{{match[1]}}} (known: {', '.join(sorted(known))})")
