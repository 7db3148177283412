"""``emo-bench run``: fit, render, score, report."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.output import Seed

EXAMPLE = "Example: emo-bench run --method emo-avatar --actor 1 --profile smoke --set preset=literal"


def run(
    method: Annotated[str, typer.Option(help="A name, path/to/file.py:Class, or path/to/file.toml.")],
    actor: Annotated[str, typer.Option(help="An actor's name; see: emo-bench actors list.")],
    protocol: Annotated[
        str | None, typer.Option(help="A protocol's name or TOML file; default self_reenactment.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="One of the protocol's splits; default its own.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="smoke, cpu, gpu or paper; default gpu where there is a GPU, else cpu.")
    ] = None,
    seed: Seed = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; repeatable.")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")] = Path("runs"),
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default cuda where there is a GPU.")] = None,
    trivial: Annotated[
        bool, typer.Option("--trivial/--no-trivial", help="Also run mean-frame and nearest-frame.")
    ] = True,
    style: Annotated[
        str | None, typer.Option(help="Style of the edit, a name or a TOML file; default bronze-statue.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Your own edit of the reference frame, instead of a style.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="With --reference: caption of the edited video.")] = None,
    source_prompt: Annotated[str | None, typer.Option(help="With --reference: caption of the video as it is.")] = None,
    skip_edit: Annotated[bool, typer.Option("--skip-edit", help="Leave the edit out.")] = False,
) -> None:
    """Run a method on an actor: fit it, render the held-out frames, score them, edit it, write a report.

    A method that can edit also makes the edit of one style (--set edit.KEY=VALUE reaches its settings, --set
    clip=portraits, ViT-B-32, ViT-L-14 or a folder both its CLIP and that of its scores). What is finished is not done
    again; an interrupted run goes on when the same command is given.
    """
    import emo_bench
    from emo_bench.cli import status

    with status.log_on_stderr():
        from reports import summary

        made = emo_bench.run(
            method,
            actor,
            protocol=protocol,
            split=split,
            profile=profile,
            seed=seed,
            settings=parse_settings(settings or []),
            runs=runs,
            device=device,
            trivial=trivial,
            style=style,
            reference=reference,
            prompt=prompt,
            source_prompt=source_prompt,
            skip_edit=skip_edit,
        )
    print(summary(made.folders))
    print(f"report   {made.report}")
    for finished in (made, made.edit):
        if finished is not None:
            print(f"preview  {finished.path / 'preview.mp4'}")


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """``["a=1"] -> {"a": "1"}``."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        settings[key.strip()] = value.strip()
    return settings
