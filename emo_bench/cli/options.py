"""Options that several commands share, and the examples at the end of a command's help."""

import math
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.methods.seeds import GREATEST

Seed = Annotated[int, typer.Option(min=0, max=GREATEST, help="Random seed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Actor = Annotated[str | None, typer.Option(help="Name of the actor. Default: 1.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="Name or TOML file of the protocol. Default: self_reenactment, or with --driver cross_reenactment; for "
        "profile smoke, its mini form."
    ),
]
Split = Annotated[str | None, typer.Option(help="Split of the protocol. Default: the protocol's default split.")]
Profile = Annotated[
    str | None, typer.Option(help="Profile: smoke, cpu, gpu or paper. Default: gpu if there is a GPU, else cpu.")
]
Device = Annotated[str | None, typer.Option(help="Device: cpu or cuda. Default: cuda if there is a GPU.")]
RunsFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the runs.")]
RunsToRead = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUNS", help="Run folders, or folders with runs below them. Default: runs."),
]


def examples(*commands: str) -> str:
    """Return the end of a command's help: each command is on a line of its own, so that it can be copied."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    # Typer does not wrap a paragraph that begins with this character.
    return "\n".join(["\b", title, *(f"  emo-bench {command}" for command in commands)])


def finite(value: float | None) -> float | None:
    """Check a number option: NaN is neither below nor above the bounds, so it is refused here."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a number")
    return value
