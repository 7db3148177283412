"""``emo-bench run``: fit, render, score, report."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: emo-bench run --method emo-avatar --actor 1 --profile smoke --set preset=literal"


def run(
    method: Annotated[str, typer.Option(help="A method's name, or path/to/file.py:Class.")],
    actor: Annotated[str, typer.Option(help="An actor's name; see: emo-bench actors list.")],
    protocol: Annotated[
        str | None, typer.Option(help="A protocol's name or TOML file; default self_reenactment.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="One of the protocol's splits; default its own.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="smoke, cpu or paper; default cpu without a GPU, paper with one.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random number.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; repeatable."),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")] = Path("runs"),
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; default cuda where there is a GPU.")
    ] = None,
    trivial: Annotated[
        bool, typer.Option("--trivial/--no-trivial", help="Also run mean-frame and nearest-frame.")
    ] = True,
) -> None:
    """Run a method on an actor: fit it, render the held-out frames, score them, write a report.

    What is finished is not done again; an interrupted run goes on when the same command is given.
    """
    from emo_bench.cli import status

    chosen = _parse_settings(settings or [])
    with status.log_on_stderr():
        from emo_bench.runner import RunRequest
        from emo_bench.runner import run as make_runs
        from reports import summary, write_report

        request = RunRequest(
            method=method,
            actor=actor,
            protocol=protocol,
            split=split,
            profile=profile,
            seed=seed,
            settings=chosen,
            runs_dir=runs,
            device=device,
        )
        folders = make_runs(request, trivial=trivial)
        report = write_report(folders, folders[0])
    print(summary(folders))
    print(f"report   {report}")
    print(f"preview  {folders[0] / 'preview.mp4'}")


def _parse_settings(pairs: list[str]) -> dict[str, str]:
    """``["a=1"] -> {"a": "1"}``."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        settings[key.strip()] = value.strip()
    return settings
