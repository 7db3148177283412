"""``emo-bench score``: score frames from any source."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emo_bench.cli.options import Device, examples
from emo_bench.cli.output import as_given, say

if TYPE_CHECKING:
    from emo_bench.api.results import FrameScores

EXAMPLE = examples(
    "score mine/ --reference truth.mp4",
    "score mine/ --reference truth.mp4 --metrics psnr,flmd --out scores",
    "score mine/ --actor 1 --name my-method",
)


def score(
    given: Annotated[
        Path | None,
        typer.Argument(
            metavar="FRAMES", help="Frames to score: a folder of pictures, a video, or the folder of a run."
        ),
    ] = None,
    frames: Annotated[Path | None, typer.Option(help="The same as FRAMES, given as an option.")] = None,
    actor: Annotated[
        str | None, typer.Option(help="Store the frames as a run: the actor whose held-out frames they reproduce.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Name or TOML file of the protocol. Needs --actor. Default: self_reenactment.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the protocol. Needs --actor. Default: the protocol's default split.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the method that made the frames. Needs --actor.")] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the runs. Needs --actor. Default: runs.")
    ] = None,
    trivial: Annotated[
        bool | None,
        typer.Option("--trivial/--no-trivial", help="Also run the trivial methods. Needs --actor. Default: yes."),
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Reference frames: a folder of pictures or a video.")] = None,
    metrics: Annotated[
        str, typer.Option(metavar="ID,ID", help="Metrics, separated by commas. Default: those of the convention.")
    ] = "",
    convention: Annotated[
        str | None, typer.Option(help="Scoring convention of another project, such as insta-pytorch.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Masks of the person in the reference frames: 0/1, 0/255, soft, or an alpha channel. "
            "With --region face: masks of the face."
        ),
    ] = None,
    mask_labels: Annotated[
        str, typer.Option(metavar="N,N", help="Labels of the person if the masks are label maps, for example 1,2,17.")
    ] = "",
    region: Annotated[
        str | None,
        typer.Option(
            help='Region to score: "full frame", foreground or face. Only for the metrics that take a region.'
        ),
    ] = None,
    background: Annotated[str | None, typer.Option(help='Background: "as filmed", white or black.')] = None,
    source_prompt: Annotated[
        str | None, typer.Option("--source-prompt", "--source", help="Caption of the person before the edit.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Caption of the person after the edit.")] = None,
    detector: Annotated[str, typer.Option(help="Landmark detector: auto, fan, mediapipe or dlib.")] = "auto",
    clip: Annotated[
        str, typer.Option(help="CLIP model: ViT-L-14, ViT-B-32, portraits, a folder, or auto (the first one found).")
    ] = "auto",
    fps: Annotated[
        float | None,
        typer.Option(help="Frames per second of pictures, for metrics such as jod. Videos have their own."),
    ] = None,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the scores to this folder, as Parquet and CSV.")
    ] = None,
) -> None:
    """Score frames from a folder, a video or a run.

    The frames are compared with the reference. A table is printed; with --out the score of every frame is written.

    With --actor the reference is the video of the actor. The command checks that the frames match the held-out frames
    of the protocol, and stores them as a run of the method --name. Reports show this run like any other.
    """
    from emo_bench.cli import status
    from emo_bench.errors import UserError

    if given is None and frames is None:
        raise UserError("give the frames to score: emo-bench score FRAMES")
    if given is not None and frames is not None:
        raise UserError("give the frames once: emo-bench score FRAMES, or --frames FRAMES")
    made = given or frames
    assert made is not None
    if actor is not None:
        not_for_runs = {
            "--reference": reference,
            "--masks": masks,
            "--mask-labels": mask_labels,
            "--metrics": metrics,
            "--convention": convention,
            "--region": region,
            "--background": background,
            "--out": out,
            "--fps": fps,
        }
        _refuse("--actor takes these from the protocol", not_for_runs)
        if detector != "auto":
            raise UserError("--detector: runs are scored with the first detector found; leave this option out")
        choices = {
            "protocol": protocol,
            "split": split,
            "source_prompt": source_prompt,
            "prompt": prompt,
            "runs": runs or Path("runs"),
            "device": device,
            "clip": clip,
            "trivial": trivial is not False,
        }
        _file_as_run(made, name, actor, choices)
        return
    of_runs = {
        "--protocol": protocol,
        "--split": split,
        "--name": name,
        "--runs": runs,
        "--trivial/--no-trivial": trivial,
    }
    _refuse("needs --actor", of_runs)
    with status.log_on_stderr():
        import emo_bench

        scored = emo_bench.score(
            made,
            reference,
            metrics=[name.strip() for name in metrics.split(",") if name.strip()],
            convention=convention,
            masks=masks,
            mask_labels=_labels(mask_labels, masks),
            region=region,
            background=background,
            source_prompt=source_prompt,
            prompt=prompt,
            detector=detector,
            clip=clip,
            device=device,
            fps=fps,
        )
        written = [] if out is None else scored.write(out)
    _show(scored)
    # The table shows the other notes: why a metric has no score at all.
    for note in scored.scores.attrs["notes"]:
        say(f"note: {note}")
    for path in written:
        say(f"wrote  {path}")


def _file_as_run(frames: Path, name: str | None, actor: str, choices: Mapping[str, Any]) -> None:
    """Store the frames as a run of the method ``name``, and print its summary."""
    from emo_bench.cli import status
    from emo_bench.errors import UserError

    if name is None:
        raise UserError("frames that are stored as a run need the --name of the method that made them")
    with status.log_on_stderr():
        import emo_bench
        from reports import summary

        filed = emo_bench.file_frames(frames, name, actor, **choices)
    print(summary([as_given(folder, choices["runs"]) for folder in filed.folders]))
    print(f"report   {as_given(filed.report, choices['runs'])}")


def _labels(given: str, masks: Path | None) -> tuple[int, ...]:
    """Return the numbers of ``--mask-labels``."""
    from emo_bench.errors import UserError

    words = [word.strip() for word in given.split(",") if word.strip()]
    if words and masks is None:
        raise UserError("--mask-labels: give the label maps with --masks")
    if not all(word.isascii() and word.isdecimal() and len(word) <= 3 and int(word) <= 255 for word in words):
        raise UserError(f"--mask-labels {given}: give whole numbers from 0 to 255, separated by commas")
    return tuple(int(word) for word in words)


def _refuse(why: str, options: Mapping[str, object]) -> None:
    """Raise a UserError for the first given option that has no meaning here."""
    from emo_bench.errors import UserError

    for option, value in options.items():
        if value not in (None, ""):
            raise UserError(f"{option}: {why}")


def _show(scored: "FrameScores") -> None:
    from emo_bench.cli.output import print_columns

    table, rows = scored.scores, []
    recoloured = any(record["background"] != "as filmed" for record in scored.records.values())
    for metric, value in scored.means.items():
        record = scored.records[metric]
        shown = "n/a" if value != value else f"{value:.4f}"
        identical = table.attrs["identical"].get(metric)
        note = scored.reasons.get(metric) or record["backend"]["name"]
        dropped = len(record["frames_dropped"])
        remarks = [f"{dropped} undefined"] if dropped else []
        if identical:
            remarks.append(f"{identical['frames']} of {len(table)} identical")
            if identical["others_mean"] is not None:
                remarks[-1] += f", the others {identical['others_mean']:.4f}"
        frames = f"{record['frames_scored']}" + (f" ({'; '.join(remarks)})" if remarks else "")
        background = [record["background"]] if recoloured else []
        rows.append((metric, shown, record["unit"], record["direction"], frames, record["region"], *background, note))
    background = ["background"] if recoloured else []
    headers = ("metric", "score", "unit", "better", "frames", "region", *background, "backend")
    print_columns(headers, rows, spare=("better",))
