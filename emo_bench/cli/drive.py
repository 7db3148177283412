"""``emo-bench drive``: an avatar moved by another person."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.options import Device, examples

if TYPE_CHECKING:
    from emo_bench.metrics import Scorer

EXAMPLE = examples(
    "drive runs/self_reenactment/1/emo-avatar/cpu-s0 --by 2",
    "drive runs/self_reenactment/1/emo-avatar/cpu-s0 --by 2 --score",
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
    score: Annotated[
        bool, typer.Option("--score", help="Also score the frames with the metrics of protocol cross_reenactment.")
    ] = False,
    device: Device = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the execution of the method file that run.json names.")
    ] = False,
) -> None:
    """Animate a run's avatar with the expressions of another person.

    The avatar gets the other person's expression and relative head pose. The video shows both side by side. A video
    file is tracked first and kept as an actor.

    With --score, the frames are compared with those of the other person, and the scores are written into a folder
    beside the video. Scores for a report come from emo-bench run --driver, which uses held-out frames only.

    If the run was made with a method of your own, run.json names the method's file. The file is executed only with
    --trust.
    """
    from emo_bench import actors
    from emo_bench.cli import status
    from emo_bench.runs.driving import driven_scorer, load_driver, render_driven
    from emo_bench.runs.editing import open_edit, open_method
    from protocols.splitting import parse_frames

    with status.log_on_stderr():
        base, manifest = open_method(run, device, trust=trust)
        method = base if style is None else open_edit(base, style)
        driver = load_driver(by)
        method.load()
        own = actors.load(manifest["identity"]["actor"]["name"])
        path = out or method.workspace.folder / f"driven-by-{driver.name}.mp4"
        train = parse_frames(manifest["split"]["train"])
        scorer = driven_scorer(method, own, train, driver) if score else None
        count = render_driven(method, own, driver, frames, path, scorer)
    print(f"video    {path} ({count} frames)")
    if scorer is None:
        return
    folder = path.with_name(f"{path.stem}-scores")
    _show(scorer, folder)
    seen = len(set(train) & set(scorer.table().index)) if own.sha256 == driver.sha256 else 0
    if seen:
        print(f"note: the avatar was fitted on {seen} of these frames")


def _show(scorer: "Scorer", folder: Path) -> None:
    """Print a line for each metric, and write the scores into a folder."""
    from emo_bench.cli.output import print_columns
    from emo_bench.metrics.aggregation import reasons, video_scores
    from emo_bench.runs.frame_scoring import write_scores

    table = scorer.table()
    why = reasons(table)
    rows = []
    for metric, value in video_scores(table).items():
        record = table.attrs["records"][metric]
        shown = "n/a" if math.isnan(value) else f"{value:.4f}"
        note = why.get(metric) or record["backend"]["name"]
        rows.append((metric, shown, record["unit"], record["direction"], record["frames_scored"], note))
    print_columns(("metric", "score", "unit", "better", "frames", "backend"), rows, spare=("better",))
    write_scores(table, folder)
    print(f"scores   {folder}")
