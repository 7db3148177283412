"""``emo-bench score``: score frames made anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emo_bench.cli.output import say

if TYPE_CHECKING:
    import pandas

EXAMPLE = "Example: emo-bench score mine/ --reference truth.mp4 --metrics psnr,flmd --out scores"


def score(
    given: Annotated[
        Path | None, typer.Argument(metavar="FRAMES", help="A folder of pictures, a video, or a run's folder.")
    ] = None,
    frames: Annotated[Path | None, typer.Option(help="The same, as an option.")] = None,
    actor: Annotated[
        str | None, typer.Option(help="File the frames as a run: the actor whose held-out frames they answer.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="With --actor: default self_reenactment.")] = None,
    split: Annotated[str | None, typer.Option(help="With --actor: default the protocol's own.")] = None,
    name: Annotated[str | None, typer.Option(help="With --actor: of the method that made the frames.")] = None,
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --actor: where runs are kept; default runs.")
    ] = None,
    trivial: Annotated[
        bool | None,
        typer.Option("--trivial/--no-trivial", help="With --actor: also run the trivial methods; default yes."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="What the frames should look like: a folder or a video.")
    ] = None,
    metrics: Annotated[
        str, typer.Option(metavar="ID,ID", help="Metrics; default the convention's. See: metrics list.")
    ] = "",
    convention: Annotated[
        str | None, typer.Option(help="Score as others did; see: emo-bench metrics conventions.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="The person's masks in the reference: 0/1, 0/255, soft, or the alpha of cut-outs."),
    ] = None,
    mask_labels: Annotated[
        str, typer.Option(metavar="N,N", help="The person's labels if the masks are label maps, e.g. 1,2,17.")
    ] = "",
    region: Annotated[str | None, typer.Option(help='"full frame", foreground or face.')] = None,
    background: Annotated[str | None, typer.Option(help='"as filmed", white or black.')] = None,
    source_prompt: Annotated[
        str | None, typer.Option("--source-prompt", "--source", help="Caption of the unedited person.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Caption of the edited person.")] = None,
    detector: Annotated[str, typer.Option(help="auto, fan, mediapipe or dlib.")] = "auto",
    clip: Annotated[
        str, typer.Option(help="CLIP model: ViT-L-14, ViT-B-32, portraits, a folder; auto: the first of these here.")
    ] = "auto",
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default cuda where there is a GPU.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write long and wide Parquet and CSV there.")] = None,
) -> None:
    """Score frames against a reference: one pass, a table on screen, Parquet and CSV with --out.

    With --actor the reference is the actor's video: the frames are checked against the protocol's held-out frames and
    filed as a run of --name, which the report shows.
    """
    from emo_bench.cli import status
    from emo_bench.errors import UserError

    if (given is None) == (frames is None):
        raise UserError("give the frames once: emo-bench score FRAMES, or --frames FRAMES")
    made = given or frames
    assert made is not None
    if actor is not None:
        others = {
            "--reference": reference, "--masks": masks, "--mask-labels": mask_labels, "--metrics": metrics,
            "--convention": convention,
            "--region": region, "--background": background, "--out": out,
        }  # fmt: skip
        _refuse("--actor takes these from the protocol", others)
        if detector != "auto":
            raise UserError("--detector: runs are scored with the first detector at hand; leave it out")
        if name is None:
            raise UserError("frames filed as a run need the --name of the method that made them")
        with status.log_on_stderr():
            from emo_bench.runs.given_frames import GivenRequest, file_frames
            from reports import summary, write_report

            wanted = GivenRequest(
                made, name, actor, protocol, split, source_prompt, prompt, runs or Path("runs"), device, clip
            )
            folders = file_frames(wanted, trivial=trivial is not False)
            written_report = write_report(folders, folders[0])
        print(summary(folders))
        print(f"report   {written_report}")
        return
    of_runs = {
        "--protocol": protocol,
        "--split": split,
        "--name": name,
        "--runs": runs,
        "--trivial/--no-trivial": trivial,
    }
    _refuse("needs --actor", of_runs)
    if (prompt is None) != (source_prompt is None):
        raise UserError("CLIP direction needs both captions: give --prompt and --source-prompt")
    if background not in (None, "as filmed", "white", "black"):
        raise UserError(f"unknown background {background!r}; known: as filmed, white, black")
    with status.log_on_stderr():
        from emo_bench.metrics import Captions, Settings
        from emo_bench.runs.frame_scoring import ScoreRequest, score_request, write_scores
        from emo_bench.system.devices import chosen_device

        captions = Captions(source_prompt, prompt) if prompt and source_prompt else None
        request = ScoreRequest(
            frames=made,
            reference=reference,
            masks=masks,
            mask_labels=_labels(mask_labels, masks),
            metrics=tuple(name.strip() for name in metrics.split(",") if name.strip()),
            convention=convention,
            background=background,  # type: ignore[arg-type]
            region=region,
            settings=Settings(chosen_device(device), detector, clip, captions),
        )
        table = score_request(request)
        written = [] if out is None else write_scores(table, out)
    _show(table)
    for note in table.attrs["notes"]:
        say(f"note: {note}")
    for path in written:
        say(f"wrote  {path}")


def _labels(given: str, masks: Path | None) -> tuple[int, ...]:
    """The numbers of ``--mask-labels``."""
    from emo_bench.errors import UserError

    words = [word.strip() for word in given.split(",") if word.strip()]
    if words and masks is None:
        raise UserError("--mask-labels: give the label maps with --masks")
    if not all(word.isascii() and word.isdecimal() and len(word) <= 3 and int(word) <= 255 for word in words):
        raise UserError(f"--mask-labels {given}: give whole numbers from 0 to 255, separated by commas")
    return tuple(int(word) for word in words)


def _refuse(why: str, options: Mapping[str, object]) -> None:
    """A UserError for the first option that was given where it means nothing."""
    from emo_bench.errors import UserError

    for option, value in options.items():
        if value not in (None, ""):
            raise UserError(f"{option}: {why}")


def _show(table: "pandas.DataFrame") -> None:
    from emo_bench.cli.output import print_columns
    from emo_bench.metrics.registry import metric_class

    rows = []
    for metric, record in table.attrs["records"].items():
        value = metric_class(metric).aggregate(table[metric].to_numpy())
        backend = record["backend"]
        shown = "n/a" if value != value else f"{value:.4f}"
        identical = table.attrs["identical"].get(metric)
        note = backend["detail"] if backend["name"] == "n/a" else backend["name"]
        dropped = len(record["frames_dropped"])
        remarks = [f"{dropped} undefined"] if dropped else []
        if identical:
            remarks.append(f"{identical['frames']} of {len(table)} identical")
            if identical["others_mean"] is not None:
                remarks[-1] += f", the others {identical['others_mean']:.4f}"
        frames = f"{record['frames_scored']}" + (f" ({'; '.join(remarks)})" if remarks else "")
        rows.append((metric, shown, record["unit"], record["direction"], frames, record["region"], note))
    print_columns(("metric", "score", "unit", "better", "frames", "region", "backend"), rows)
