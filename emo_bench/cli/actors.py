"""``emo-bench actors``: the people to make avatars of."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emo_bench.cli.options import Json, examples
from emo_bench.cli.output import group, print_columns, print_fields, print_json

app = group("List, add and inspect actors (videos of one person).")


def _tidy() -> None:
    """Remove the files of a person's video that a killed ``actors add`` left."""
    from emo_bench.actors.half_made import remove_half_made
    from emo_bench.actors.library import captures_folder

    remove_half_made(captures_folder())


@app.command("list", epilog=examples("actors list"))
def list_all(as_json: Json = False) -> None:
    """List the actors: the bundled ones and your own."""
    from emo_bench.actors import list_actors

    _tidy()
    actors = list_actors()
    if as_json:
        print_json(actors)
        return
    rows = [
        (a.name, a.source, "bundled" if a.bundled else "yours", a.frames, f"{a.fps:.5g}", a.size_px, a.folder)
        for a in actors
    ]
    print_columns(("actor", "source", "from", "frames", "fps", "px", "folder"), rows)


@app.command(epilog=examples("actors add interview.mp4 --name anna"))
def add(
    video: Annotated[Path, typer.Argument(help="Video of one person.")],
    name: Annotated[str | None, typer.Option(help="Name of the actor. Default: the name of the file.")] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PX", help="Side of the stored frames, 64 to 1024. Default: as in the video, at most 1024."
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an actor that has this name.")] = False,
    as_json: Json = False,
) -> None:
    """Track the face in a video, and keep the video as an actor."""
    from emo_bench.actors.add import add_video

    report = add_video(video, name, size_px=size, replace=replace)
    if as_json:
        print_json(asdict(report))
    else:
        print(report)


@app.command(epilog=examples("actors show 1 --out actor-1.png"))
def show(
    name: Annotated[str, typer.Argument(help="Name of the actor.")],
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Picture file to write. Default: actor-NAME.png.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Describe an actor, and draw a contact sheet.

    The sheet shows frames, landmarks, UV maps and the tracked head over the frames.
    """
    from emo_bench.actors import load
    from emo_bench.actors.kept_folders import kept_bytes
    from emo_bench.actors.sheet import contact_sheet

    _tidy()
    capture = load(name)
    found = capture.valid_indices
    yaw, pitch = capture.track.yaw_pitch_deg()[found].T
    sheet = out or Path(f"actor-{capture.name}.png")
    contact_sheet(capture, sheet)
    facts: dict[str, object] = {
        "actor": capture.name,
        "source": capture.source,
        "folder": str(capture.folder),
        "frames": len(capture),
        "frames_with_face": len(found),
        "fps": capture.fps,
        "size_px": capture.size_px,
        "yaw_deg": [round(float(yaw.min()), 1), round(float(yaw.max()), 1)],
        "pitch_deg": [round(float(pitch.min()), 1), round(float(pitch.max()), 1)],
        "sha256": capture.sha256,
        "detections_kb": round(kept_bytes(capture) / 1000, 1),
        "sheet": str(sheet),
    }
    if as_json:
        print_json(facts)
    else:
        print_fields(facts.items())
