"""``emo-bench run``: fit, render, score, report."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.output import Seed

if TYPE_CHECKING:
    from emo_bench.runs.editing import EditRequest

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
    from emo_bench.cli import status

    chosen = parse_settings(settings or [])
    of_edit = {key.removeprefix("edit."): chosen.pop(key) for key in list(chosen) if key.startswith("edit.")}
    clip = chosen.pop("clip", None)
    if clip is not None:
        of_edit.setdefault("clip", clip)
    with status.log_on_stderr():
        from emo_bench.methods.registry import method_class
        from emo_bench.runs.editing import check_edit, edit
        from emo_bench.runs.runner import RunRequest, planned
        from emo_bench.runs.runner import run as make_runs
        from reports import summary, write_report

        wanted = _edit_request(skip_edit, style, reference, prompt, source_prompt, of_edit, clip or "auto")
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
        if wanted is not None and (wanted.asked_for or "edit" in method_class(method).info.capabilities):
            left_out = check_edit(*planned(request), wanted)
            if left_out:
                logging.getLogger("emo_bench").info("edit: will be left out: %s", left_out)
                wanted = None
        else:
            wanted = None
        folders = make_runs(request, trivial=trivial)
        edited = edit(folders[0], wanted, device, method) if wanted is not None else None
        if edited is not None:
            folders.append(edited)
        report = write_report(folders, folders[0])
    print(summary(folders))
    print(f"report   {report}")
    for folder in (folders[0], edited):
        if folder is not None:
            print(f"preview  {folder / 'preview.mp4'}")


def _edit_request(
    skip: bool,
    style: str | None,
    reference: Path | None,
    prompt: str | None,
    source_prompt: str | None,
    settings: dict[str, str],
    clip: str,
) -> "EditRequest | None":
    """What the options ask for; None with --skip-edit."""
    from emo_bench.runs.editing import EditRequest, choose_style

    given = [name for name, value in (("--style", style), ("--reference", reference)) if value is not None]
    given += ["--set edit.*"] if settings else []
    if skip:
        if given:
            raise typer.BadParameter(f"--skip-edit and {given[0]} exclude each other")
        return None
    chosen = choose_style(style, reference, prompt, source_prompt)
    return EditRequest(chosen, settings, asked_for=bool(given), clip=clip)


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """``["a=1"] -> {"a": "1"}``."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        settings[key.strip()] = value.strip()
    return settings
