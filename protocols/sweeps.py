"""Sweep files: which runs a sweep makes, as products of methods, actors, protocols, styles, seeds and settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from emo_bench.errors import UserError, unknown_name
from emo_bench.untrusted.schema import read_toml_as
from protocols.ablation import Setting

FOLDER = Path(__file__).parent / "sweeps"
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]
Text = Annotated[str, Field(min_length=1)]


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


Values = Annotated[tuple[Setting, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Model):
    """Every combination of its lists is a run.

    Attributes:
        methods: as ``--method`` of ``emo-bench run`` takes them.
        actors: names of actors.
        protocols: names or TOML files; empty is the default of the method and the profile. Avatars take those that
            score a reenactment, video editors those that score an edit.
        styles: styles of the edits, names or TOML files; empty makes no edit.
        seeds: the random seeds.
        settings: the values of each ``--set KEY=VALUE``; several values of a key are several runs.
        profile: the profile; None is the sweep's, or the default of the machine.
        split: the split; None is the protocol's default.
    """

    methods: tuple[Text, ...] = Field(min_length=1)
    actors: tuple[Text, ...] = Field(min_length=1)
    protocols: tuple[Text, ...] = ()
    styles: tuple[Text, ...] = ()
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    settings: dict[Text, Values] = {}
    profile: str | None = None
    split: str | None = None

    def variants(self) -> Iterator[dict[str, str]]:
        """Yield the settings of each variant: every combination of the values."""
        for values in itertools.product(*self.settings.values()):
            yield dict(zip(self.settings, values, strict=True))


class SweepFile(_Model):
    """The content of a sweep file.

    Attributes:
        version: the version of the format.
        title: what the sweep makes, in one line.
        profile: the profile of the grids that name none; None is the default of the machine.
        trivial: whether ``mean-frame`` and ``nearest-frame`` run beside each avatar.
        slurm: options for ``--executor slurm``, e.g. ``partition``; another executor does not read them.
        videos: the video files of actors, by name; an actor that is not there yet is made from its video.
        grid: the runs; a run that several grids name is made once.
    """

    version: Literal[1]
    title: Text
    profile: str | None = None
    trivial: bool = True
    slurm: dict[Text, int | str] = {}
    videos: dict[Text, Text] = {}
    grid: tuple[Grid, ...] = Field(min_length=1)

    def grids(self, profile: str | None = None) -> tuple[Grid, ...]:
        """Return the grids with their profiles; ``profile`` replaces those of the file."""
        return tuple(grid.model_copy(update={"profile": profile or grid.profile or self.profile}) for grid in self.grid)


def list_sweeps() -> dict[str, SweepFile]:
    """Return the sweeps that come with the toolkit, by name."""
    return {path.stem: load_sweep(path.stem) for path in sorted(FOLDER.glob("*.toml"))}


def load_sweep(name: str) -> SweepFile:
    """Return a sweep by name, or from the TOML file at a path.

    Raises:
        UserError: there is no such sweep, or its file is not valid.
    """
    path = sweep_path(name)
    if name.endswith(".toml") and not path.is_file():
        raise UserError(f"{path} is not a file; name a sweep of your own by its TOML file")
    if not path.is_file():
        raise unknown_name("sweep", name, sorted(path.stem for path in FOLDER.glob("*.toml")), ", path/to/FILE.toml")
    return read_toml_as(SweepFile, path, "sweep")


def sweep_path(name: str) -> Path:
    """Return the file of a sweep that is named or given as a TOML file; it may not exist."""
    return Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
