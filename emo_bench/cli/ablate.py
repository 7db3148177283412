"""``emo-bench ablate``: run and compare the variants of a method."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.defaults import ACTOR, announce
from emo_bench.cli.options import Actor, Device, Json, Profile, Protocol, RunsFolder, Seed, Split, examples
from emo_bench.cli.output import print_columns, print_json
from emo_bench.cli.run import parse_settings
from emo_bench.errors import UserError

if TYPE_CHECKING:
    from protocols.ablation import Ablation
    from reports.ablation.tables import AblationReport

EXAMPLE = examples("ablate", "ablate --actor 2 --only ne-avatar --only unaligned-inv", "ablate --list")


def ablate(
    actor: Actor = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VARIANT", help="Run this variant and the reference. May be given several times. Default: all."
        ),
    ] = None,
    profile: Profile = None,
    protocol: Protocol = None,
    split: Split = None,
    seed: Seed = 0,
    style: Annotated[str | None, typer.Option(help="Style of the edits. Default: bronze-statue.")] = None,
    skip_edit: Annotated[bool, typer.Option("--skip-edit", help="Make no edits.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of all variants. May be given several times."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file with your own variants. Default: protocols/ablation.toml."),
    ] = None,
    runs: RunsFolder = Path("runs"),
    device: Device = None,
    listed: Annotated[bool, typer.Option("--list", help="List the variants and run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run the variants of Emo-Avatar and compare them.

    The variants are those of the paper's table 4, its figures 3 and 6, and more. Each variant is a run. Stages that
    variants have in common are computed once.

    The command writes ablation.md, ablation.csv, ablation.json and the figures into the folder of the runs. A variant
    that cannot run on this machine is listed as n/a, with the reason. Finished stages are skipped. If the command is
    interrupted, give it again: it continues.
    """
    from emo_bench.cli import status
    from protocols.ablation import DEFAULT, load_ablation

    ablation = load_ablation(config or DEFAULT)
    if listed:
        _list(ablation, as_json)
        return
    if actor is None:
        actor = ACTOR
        announce(f"method {ablation.method}, actor {actor} (the default; choose with --actor)")
    with status.log_on_stderr():
        from emo_bench.ablation.runs import AblationRequest
        from emo_bench.runs.plan import RunRequest
        from emo_bench.runs.settings import sorted_settings
        from protocols.styles import DEFAULT_STYLE
        from reports.ablation.making import make_ablation

        chosen = sorted_settings(parse_settings(settings or []))
        if skip_edit and (style is not None or chosen.edit):
            raise UserError(f"--skip-edit and {'--style' if style is not None else '--set edit.*'} exclude each other")
        base = RunRequest(
            ablation.method, actor, protocol, split, profile, seed, chosen.method,
            runs_dir=runs, device=device, clip=chosen.clip,
        )  # fmt: skip
        request = AblationRequest(base, style or DEFAULT_STYLE, chosen.edit, tuple(only or ()), not skip_edit)
        report, written = make_ablation(ablation, request, config)
    if as_json:
        print(written.with_suffix(".json").read_text(encoding="utf-8"), end="")
        return
    _show(report)
    print(f"report   {written}")
    for figure in sorted(written.parent.glob("*.png")):
        print(f"figure   {figure}")


def _show(report: "AblationReport") -> None:
    from rich.console import Console

    from reports.ablation.writing import print_ablation

    # A pipe has no width: 200 columns are enough for every table.
    print_ablation(report, Console() if sys.stdout.isatty() else Console(width=200))


def _list(ablation: "Ablation", as_json: bool) -> None:
    if as_json:
        print_json(ablation.model_dump(mode="json"))
        return
    tables = {v.name: ", ".join(t.id for t in ablation.table if v.name in t.variants) for v in ablation.variant}
    rows = []
    for variant in ablation.variant:
        settings = [f"{key}={value}" for key, value in variant.settings.items()]
        settings += [
            f"{profile}: {key}={value}" for profile, own in variant.by_profile.items() for key, value in own.items()
        ]
        settings += [f"edit.{key}={value}" for key, value in (variant.edit or {}).items()]
        rows.append((variant.name, tables[variant.name], " ".join(settings)))
    print_columns(("variant", "tables", "settings"), rows)
