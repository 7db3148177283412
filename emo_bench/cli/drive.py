"""``emo-bench drive``: an avatar moved by another person."""

from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.options import Device, examples

EXAMPLE = examples(
    "drive runs/self_reenactment/1/emo-avatar/cpu-s0 --by 2",
    "drive runs/self_reenactment/1/emo-avatar/cpu-s0 --by interview.mp4",
)


def drive(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    by: Annotated[
        str, typer.Option(metavar="ACTOR_OR_VIDEO", help="Driving person: the name of an actor, or a video file.")
    ],
    style: Annotated[
        str | None, typer.Option(help="Animate this finished edit of the run. Default: the unedited avatar.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Maximum number of frames. Default: all.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="MP4 file to write. Default: driven-by-NAME.mp4 in the run's folder."),
    ] = None,
    device: Device = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the execution of the method file that run.json names.")
    ] = False,
) -> None:
    """Animate a run's avatar with the expressions of another person.

    The avatar gets the other person's expression and relative head pose. The video shows both side by side. A video
    file is tracked first and kept as an actor.

    If the run was made with a method of your own, run.json names the method's file. The file is executed only with
    --trust.
    """
    from emo_bench import actors
    from emo_bench.cli import status
    from emo_bench.runs.driving import load_driver, render_driven
    from emo_bench.runs.editing import open_edit, open_method

    with status.log_on_stderr():
        base, manifest = open_method(run, device, trust=trust)
        method = base if style is None else open_edit(base, style)
        driver = load_driver(by)
        method.load()
        own = actors.load(manifest["identity"]["actor"]["name"])
        path = out or method.workspace.folder / f"driven-by-{driver.name}.mp4"
        count = render_driven(method, own, driver, frames, path)
    print(f"video    {path} ({count} frames)")
