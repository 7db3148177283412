"""``emo-bench drive``: an avatar moved by another person."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.errors import UserError

if TYPE_CHECKING:
    from emo_bench.actors import Capture

EXAMPLE = "Example: emo-bench drive runs/self_reenactment/1/emo-avatar/cpu-s0 --by 2 --style bronze-statue"


def drive(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    by: Annotated[str, typer.Option(metavar="ACTOR_OR_VIDEO", help="Who drives.")],
    style: Annotated[str | None, typer.Option(help="A finished edit of the run; default the unedited avatar.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many frames; default all.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The MP4; default in the run's folder.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default cuda where there is a GPU.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Execute the file that run.json names as the method.")] = False,
) -> None:
    """Render a run's avatar with another person's expression and relative head pose, beside that person.

    A video is tracked first and kept as an actor. A run of a method that is none of this toolkit's names the method's
    file; it is executed only with --trust.
    """
    from emo_bench import actors
    from emo_bench.cli import status
    from emo_bench.runs.driving import render_driven
    from emo_bench.runs.editing import open_edit, open_method

    with status.log_on_stderr():
        base, manifest = open_method(run, device, trust=trust)
        method = base if style is None else open_edit(base, style)
        driver = _driver(by)
        method.load()
        own = actors.load(manifest["identity"]["actor"]["name"])
        path = out or method.workspace.folder / f"driven-by-{driver.name}.mp4"
        count = render_driven(method, own, driver, frames, path)
    print(f"video    {path} ({count} frames)")


def _driver(by: str) -> "Capture":
    """The capture of an actor's name, or of a video file, which becomes an actor of the file's name."""
    from emo_bench import actors
    from emo_bench.actors.add import add_video
    from emo_bench.actors.names import check_name

    video = Path(by)
    if not video.is_file():
        return actors.load(by)
    name = check_name(video.stem)
    if name in {info.name for info in actors.list_actors()}:
        raise UserError(f"there is an actor {name} already: give --by {name}, or rename the video")
    print(add_video(video, name), file=sys.stderr)
    return actors.load(name)
