"""Ablation files: the variants of a method, each a set of settings, and the tables that they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from emo_bench.errors import unknown_name
from emo_bench.untrusted.schema import read_toml_as

DEFAULT = Path(__file__).with_name("ablation.toml")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40)]


def _as_text(value: Any) -> Any:
    """Write a value as a user types it after ``--set``, e.g. ``4`` or ``true``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


Setting = Annotated[str, BeforeValidator(_as_text)]
Settings = dict[str, Setting]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Model):
    """A method with other settings.

    Attributes:
        name: the name on the command line.
        title: the name in tables.
        note: what it changes, if its title does not say so.
        settings: settings of the fit, as ``--set`` takes them.
        by_profile: further settings of the fit, by profile.
        edit: settings of the edit stage; None for a variant that is not edited.
        editor, editor_settings: the editor of the edit's reference picture and its settings, instead of the style's.
    """

    name: Name
    title: str
    note: str = ""
    settings: Settings = {}
    by_profile: dict[str, Settings] = {}
    edit: Settings | None = None
    editor: str | None = None
    editor_settings: dict[str, Any] = {}

    def settings_of(self, profile: str) -> dict[str, str]:
        """Return the settings of the fit in a profile."""
        return {**self.settings, **self.by_profile.get(profile, {})}


class Table(_Model):
    """A table of variants; ``labels`` are titles of variants in this table only."""

    id: Name
    title: str
    variants: tuple[str, ...] = Field(min_length=1)
    labels: dict[str, str] = {}


class Figure(Table):
    """A figure of some variants: ``interpolation`` of latent codes, or held-out ``side-views``."""

    kind: Literal["interpolation", "side-views"]


class Ablation(_Model):
    """An ablation file; ``reference`` is the variant that the others are compared with."""

    version: int = Field(ge=1)
    method: str
    reference: str
    table: tuple[Table, ...] = Field(min_length=1)
    figure: tuple[Figure, ...] = ()
    variant: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [variant.name for variant in self.variant]
        if len(set(names)) < len(names):
            raise ValueError("two variants have one name")
        parts: tuple[Table, ...] = (*self.table, *self.figure)
        if len({part.id for part in parts}) < len(parts):
            raise ValueError("two tables or figures have one id")
        listed = [name for part in parts for name in (*part.variants, *part.labels)]
        unknown = sorted({*listed, self.reference} - set(names))
        if unknown:
            raise ValueError(f"there is no variant {unknown[0]!r}")
        return self

    def chosen(self, only: Sequence[str]) -> tuple[Variant, ...]:
        """Return the reference first, then the named variants (all if none is named), in the file's order.

        Raises:
            UserError: there is no such variant.
        """
        names = [variant.name for variant in self.variant]
        for name in only:
            if name not in names:
                raise unknown_name("variant", name, names)
        wanted = {self.reference, *(only or names)}
        ordered = sorted(self.variant, key=lambda variant: variant.name != self.reference)
        return tuple(variant for variant in ordered if variant.name in wanted)


def load_ablation(path: Path = DEFAULT) -> Ablation:
    """Read an ablation file.

    Raises:
        UserError: it is not there, or not valid.
    """
    return read_toml_as(Ablation, path, "ablation")
