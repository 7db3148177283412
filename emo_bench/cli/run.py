"""``emo-bench run``: fit, render, score, report."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.defaults import method_and_actor
from emo_bench.cli.options import Actor, Device, Profile, Protocol, RunsFolder, Seed, Split, examples
from emo_bench.cli.output import as_given

EXAMPLE = examples(
    "run --method emo-avatar --actor 1",
    "run --method emo-avatar --actor 1 --profile smoke",
    "run --method nearest-frame --actor 2 --seed 1",
    'run --actor 1 --instruction "turn her into a marble statue"',
    "run --method emo-avatar --actor 1 --driver 2",
    "run --method insta --actor 1 --max-minutes 5",
    "run --method instruct-pix2pix --style van-gogh --style comic",
)


def run(
    method: Annotated[
        str | None,
        typer.Option(help="Method: a name, path/to/file.py:Class or path/to/file.toml. Default: emo-avatar."),
    ] = None,
    actor: Actor = None,
    driver: Annotated[
        str | None,
        typer.Option(
            metavar="ACTOR", help="Actor who drives the avatar, for cross-reenactment. Default: the protocol's pairs."
        ),
    ] = None,
    protocol: Protocol = None,
    split: Split = None,
    profile: Profile = None,
    seed: Seed = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the method. May be given several times."),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Limit on the time of the fit; the edit does not count. Default: all steps of the profile.",
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    device: Device = None,
    trivial: Annotated[
        bool, typer.Option("--trivial/--no-trivial", help="Also run the trivial methods, mean-frame and nearest-frame.")
    ] = True,
    style: Annotated[
        list[str] | None,
        typer.Option(
            help="Style of the edit: a name or a TOML file. May be given several times. Default: bronze-statue."
        ),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Your own edited reference frame. It replaces the style.")
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS", help='The edit in words: "turn her into a marble statue". It replaces the style.'
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Caption of the edited video. Needs --reference or --instruction.")
    ] = None,
    source_prompt: Annotated[
        str | None, typer.Option(help="Caption of the video before the edit. Needs --reference or --instruction.")
    ] = None,
    skip_edit: Annotated[bool, typer.Option("--skip-edit", help="Make no edit.")] = False,
) -> None:
    """Fit a method on an actor, score held-out frames, and report.

    The trivial methods are run beside it, for comparison. If the method can edit, the fitted avatar is also edited into
    one style, or into each style that you give.

    A video editor, such as instruct-pix2pix, fits nothing. It edits the recorded clip into each style, and each edit is
    a run of its own.

    With --set edit.KEY=VALUE you change a setting of the edit. With --set clip=NAME you choose the CLIP model for the
    edit and for its scores: portraits, ViT-B-32, ViT-L-14, or a folder.

    With --max-minutes every trained method gets the same time: it follows its whole schedule in fewer steps. Work
    before the first step counts, and so do earlier attempts. The edit has steps of its own and does not count. The
    result then depends on the speed of the machine. --set max_minutes=MINUTES means the same.

    Under protocol cross_reenactment the avatar is driven by another actor. The scores compare with that actor, and with
    a true picture for the pairs of bundled actors. Under protocol novel_view other cameras see the avatar.

    Finished stages are skipped. If the run is interrupted, give the same command again: it continues.
    """
    import emo_bench
    from emo_bench.cli import status

    chosen = parse_settings(settings or [])
    method, actor = method_and_actor(method, actor)
    with status.log_on_stderr():
        from reports import summary

        made = emo_bench.run(
            method,
            actor,
            driver=driver,
            protocol=protocol,
            split=split,
            profile=profile,
            seed=seed,
            settings=chosen,
            max_minutes=max_minutes,
            runs=runs,
            device=device,
            trivial=trivial,
            style=style or None,
            reference=reference,
            prompt=prompt,
            source_prompt=source_prompt,
            instruction=instruction,
            skip_edit=skip_edit,
        )
    print(summary([as_given(folder, runs) for folder in made.folders]))
    print(f"report   {as_given(made.report, runs)}")
    for path in dict.fromkeys(finished.path for finished in (made, *made.pairs, *made.edited)):
        print(f"preview  {as_given(path, runs) / 'preview.mp4'}")


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """Convert ``["a=1"]`` to ``{"a": "1"}``."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--set")
        settings[key.strip()] = value.strip()
    return settings
