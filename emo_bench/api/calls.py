"""What ``import emo_bench`` offers: one call for each main job. The commands call the same functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_bench.api.arguments import VIDEO_PX, checked
from emo_bench.api.results import FrameScores, Report, RunResult
from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun, find_runs
from emo_bench.runs.finished import load_run as open_run
from emo_bench.runs.settings import ANY_CLIP, Value, sorted_settings, with_max_minutes

LEAST_FPS, MOST_FPS = 1.0, 1000.0

if TYPE_CHECKING:
    from emo_bench.runs.plan import EditRequest
    from emo_bench.runs.runner import MadeRuns


@checked
def run(
    method: str | PathLike[str],
    actor: str,
    *,
    driver: str | None = None,
    protocol: str | PathLike[str] | None = None,
    split: str | None = None,
    profile: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Value] | None = None,
    max_minutes: float | None = None,
    runs: str | PathLike[str] = "runs",
    device: str | None = None,
    trivial: bool = True,
    style: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    reference: str | PathLike[str] | None = None,
    prompt: str | None = None,
    source_prompt: str | None = None,
    instruction: str | None = None,
    skip_edit: bool = False,
) -> RunResult:
    """Fit a method on an actor, render the held-out frames, score them, and write a report.

    The trivial methods run beside it. If the method can edit, the fitted avatar is also edited into one style. A video
    editor fits nothing: each style is a run of its own, in which it edits the recorded clip. A finished stage is not
    done again, and an interrupted run continues. ``emo-bench run`` calls this function.

    Args:
        method: a name, ``path/to/file.py:Class``, or ``path/to/file.toml``.
        actor: the name of an actor, see ``emo-bench actors list``.
        driver: the name of the actor who drives the avatar, for a protocol of cross-reenactment; None takes the pairs
            of the protocol, a run for each.
        protocol: a protocol's name or TOML file; None is ``self_reenactment``, ``cross_reenactment`` with a driver, or
            ``editing`` for a video editor, each in its mini form for profile ``smoke``.
        split: one of the protocol's splits; None is the protocol's default.
        profile: one of the method's profiles; None is ``gpu`` on a GPU, else ``cpu``.
        seed: the random seed, 0 or greater.
        settings: what ``--set`` takes: settings of the method, ``edit.KEY`` for a setting of the edit, and ``clip`` for
            the CLIP model of all CLIP scores and of the edit's training.
        max_minutes: limit on the time of the fit, above 0: the method follows its whole schedule in fewer steps. The
            same as ``settings={"max_minutes": ...}``. The edit has steps of its own and does not count.
        runs: the folder that keeps the runs.
        device: ``"cpu"`` or ``"cuda"``; None is a GPU if there is one.
        trivial: also run ``mean-frame`` and ``nearest-frame``.
        style: style of the edit, a name or a TOML file, or several; None is ``bronze-statue``.
        reference: your own edit of the reference frame, a picture; it replaces the style.
        prompt, source_prompt: captions of the video after and before the edit; they go with ``reference``, and with an
            ``instruction`` of no known kind.
        instruction: one edit in words, such as "turn her into a marble statue"; it replaces the styles. A video editor
            reads it, and an avatar's reference picture is made from it by ``instruct-pix2pix``.
        skip_edit: make no edit.

    Returns:
        The finished run with its scores, its edits, the runs of the trivial methods and the report.

    Raises:
        UserError: a name, a setting or a combination is wrong; before any work, and nothing is left behind.
        MethodError: a method or a metric that is not ours fails.

    Example:
        >>> made = emo_bench.run("emo-avatar", "1", profile="smoke")
        >>> made.scores["psnr"].mean(), made.report
    """
    from emo_bench.runs.plan import RunRequest
    from emo_bench.runs.runner import make_runs

    chosen = sorted_settings(with_max_minutes(settings or {}, max_minutes))
    asked = {"--style": _texts(style), "--reference": _path(reference), "--instruction": instruction}
    edits = _edit_requests(skip_edit, asked, prompt, source_prompt, chosen.edit)
    request = RunRequest(
        method=os.fspath(method),
        actor=actor,
        protocol=_text(protocol),
        split=split,
        profile=profile,
        seed=seed,
        settings=chosen.method,
        runs_dir=Path(runs),
        device=device,
        clip=chosen.clip,
        edits=edits,
        driver=driver,
    )
    return _finished(make_runs(request, trivial=trivial))


@checked
def edit(
    run: str | PathLike[str],
    *,
    style: str | PathLike[str] | None = None,
    reference: str | PathLike[str] | None = None,
    prompt: str | None = None,
    source_prompt: str | None = None,
    instruction: str | None = None,
    settings: Mapping[str, Value] | None = None,
    device: str | None = None,
    method: str | PathLike[str] | None = None,
    trust: bool = False,
) -> FinishedRun:
    """Edit the avatar of a finished run, render the edited clip and score it under protocol ``editing``.

    ``emo-bench run`` makes the same edit with the same files. A finished stage is not done again.

    Args:
        run: the folder of a run whose fit is finished.
        style: a style's name or TOML file; None is ``bronze-statue``.
        reference: your own edit of the reference frame, a picture; it replaces the style.
        prompt, source_prompt: captions of the video after and before the edit; they go with ``reference``, and with an
            ``instruction`` of no known kind.
        instruction: the edit in words for editor ``instruct-pix2pix``, such as "turn her into a marble statue"; it
            replaces the style.
        settings: ``edit.KEY`` for a setting of the edit, and ``clip`` for the CLIP model of the CLIP scores and of the
            training.
        device: ``"cpu"`` or ``"cuda"``; None is a GPU if there is one.
        method: the method's file, as it was given to :func:`run`; not needed for a method that is installed.
        trust: execute the file that the run names as its method's, if ``method`` is not given.

    Returns:
        The finished edit, with its ``path``, ``manifest`` and ``scores``.

    Raises:
        UserError: there is no finished run, or a style, a setting or a model is not there; before any work.
        MethodError: a method or a metric that is not ours fails.

    Example:
        >>> emo_bench.edit("runs/self_reenactment/1/emo-avatar/cpu-s0", style="van-gogh").scores["clip_d"].mean()
    """
    from emo_bench.runs.editing import edit as make_edit
    from emo_bench.runs.plan import EditRequest
    from emo_bench.runs.styles import choose_style

    chosen = sorted_settings(settings or {})
    for key in chosen.method:
        raise UserError(f"{key} is a setting of the method, and the run is fitted: settings of the edit are edit.KEY")
    request = EditRequest(
        choose_style(_text(style), _path(reference), prompt, source_prompt, instruction), chosen.edit, clip=chosen.clip
    )
    return open_run(make_edit(Path(run), request, device, _text(method), trust=trust).absolute())


@checked
def score(
    frames: str | PathLike[str],
    reference: str | PathLike[str] | None = None,
    *,
    metrics: str | Sequence[str] = (),
    convention: str | None = None,
    masks: str | PathLike[str] | None = None,
    mask_labels: Sequence[int] = (),
    region: str | None = None,
    background: str | None = None,
    source_prompt: str | None = None,
    prompt: str | None = None,
    detector: str = "auto",
    clip: str = ANY_CLIP,
    device: str | None = None,
    fps: float | None = None,
) -> FrameScores:
    """Score frames that were made anywhere. ``emo-bench score`` calls this function.

    Args:
        frames: a folder of pictures, a video, or the folder of a finished run, which brings its own reference.
        reference: what the frames should look like, a folder or a video; None for metrics that need none.
        metrics: one id of a metric or several; empty takes the metrics of the convention, or the default ones.
        convention: score as others did, see ``emo-bench metrics conventions``; None scores the frames as they are.
        masks: masks of the person (for region ``"face"``: of the face) in the reference, a folder or a video.
        mask_labels: the person's labels, 0 to 255, if the masks are label maps.
        region: ``"full frame"``, ``"foreground"`` or ``"face"``; None is the convention's.
        background: ``"as filmed"``, ``"white"`` or ``"black"``; None is the convention's.
        source_prompt, prompt: captions of the person before and after an edit: ``clip_d`` needs both,
            ``clip_text`` only ``prompt``.
        detector: landmark detector: ``"auto"``, ``"fan"``, ``"mediapipe"`` or ``"dlib"``.
        clip: CLIP model of the CLIP scores, as ``settings["clip"]`` in :func:`run`; ``"auto"`` is the first one here.
        device: ``"cpu"`` or ``"cuda"``; None is a GPU if there is one.
        fps: frames per second, for metrics of motion as it is seen; None is the video's own.

    Returns:
        The scores: one row per frame, one column per metric.

    Raises:
        UserError: the frames, the reference and the masks do not fit together, a name is unknown, something that a
            metric needs is not here, masks or region have no effect, or a caption is longer than CLIP reads.
        MethodError: a metric that is not ours fails.

    Example:
        >>> emo_bench.score("mine/", "truth.mp4", metrics=["psnr", "ssim"]).means
    """
    from emo_bench.metrics import Captions, Settings
    from emo_bench.runs.frame_scoring import ScoreRequest, score_request
    from emo_bench.system.devices import chosen_device

    if source_prompt and not prompt:
        raise UserError("--source-prompt is the caption before the edit: give the caption after it too, with --prompt")
    captions = Captions(source_prompt or "", prompt) if prompt else None
    if fps is not None and not LEAST_FPS <= fps <= MOST_FPS:
        raise UserError(f"fps is {fps:g}: give frames per second, {LEAST_FPS:g} to {MOST_FPS:g}")
    request = ScoreRequest(
        frames=Path(frames),
        reference=_path(reference),
        masks=_path(masks),
        mask_labels=tuple(mask_labels),
        metrics=(metrics,) if isinstance(metrics, str) else tuple(metrics),
        convention=convention,
        background=background,
        region=region,
        settings=Settings(chosen_device(device), detector, clip, captions, fps),
    )
    return FrameScores(score_request(request))


@checked
def file_frames(
    frames: str | PathLike[str],
    name: str,
    actor: str,
    *,
    protocol: str | PathLike[str] | None = None,
    split: str | None = None,
    source_prompt: str | None = None,
    prompt: str | None = None,
    runs: str | PathLike[str] = "runs",
    device: str | None = None,
    clip: str = ANY_CLIP,
    trivial: bool = True,
) -> RunResult:
    """File frames that were made anywhere as a run: they are checked against the protocol's held-out frames and scored.

    ``emo-bench score FRAMES --actor ACTOR --name NAME`` calls this function.

    Args:
        frames: a folder of pictures or a video, with one frame for each held-out frame.
        name: name of the method that made them: lower case, digits, dash and underscore.
        actor: the actor whose held-out frames they show.
        protocol: a protocol's name or TOML file; None is ``self_reenactment``.
        split: one of the protocol's splits; None is the protocol's default.
        source_prompt, prompt: captions of the video before and after the edit, for an editing protocol; both or none.
        runs: the folder that keeps the runs.
        device: device of the metrics, ``"cpu"`` or ``"cuda"``; None is a GPU if there is one.
        clip: CLIP model of the CLIP scores, as ``settings["clip"]`` in :func:`run`.
        trivial: also run ``mean-frame`` and ``nearest-frame``; an edit has none.

    Returns:
        The run of the frames, with the runs of the trivial methods and the report.

    Raises:
        UserError: the name is taken, or the frames do not fit the protocol; nothing is left behind.

    Example:
        >>> emo_bench.file_frames("mine/", "my-method", "1", split="tail-500").scores["psnr"].mean()
    """
    from emo_bench.runs import given_frames

    request = given_frames.GivenRequest(
        Path(frames), name, actor, _text(protocol), split, source_prompt, prompt, Path(runs), device, clip
    )
    return _finished(given_frames.file_frames(request, trivial=trivial))


@checked
def load_run(folder: str | PathLike[str]) -> FinishedRun:
    """Open a finished run or edit, made here or received from somebody.

    Args:
        folder: the folder that holds ``run.json``.

    Returns:
        The run, with its ``path``, ``manifest``, ``scores`` and ``edits``.

    Raises:
        UserError: there is no run, it is not finished, or it is damaged.

    Example:
        >>> emo_bench.load_run("runs/self_reenactment/1/emo-avatar/cpu-s0").scores["psnr"].mean()
    """
    return open_run(Path(folder).absolute())


@checked
def report(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]] = "runs",
    out: str | PathLike[str] | None = None,
    *,
    videos: bool = True,
    video_px: int = 256,
) -> Report:
    """Write the report of finished runs: HTML, Markdown, CSV, LaTeX and JSON. ``emo-bench report`` calls this function.

    Args:
        runs: folders of runs, or folders above them.
        out: the folder of the report; None is the first of ``runs``.
        videos: embed clips of the recorded and the rendered video in ``report.html``.
        video_px: the greatest height of an embedded clip, 32 to 1024 pixels.

    Returns:
        The files, and the scores of all runs as a table.

    Raises:
        UserError: a folder is not there or holds no run, or no run is finished and whole.

    Example:
        >>> emo_bench.report("runs", "report").path
    """
    from emo_bench.system.second_process import second_process
    from reports.pages.html import PageOptions
    from reports.publishing import publish_groups
    from reports.reading import FEWEST_FOR_TWO
    from reports.tables import read_groups

    if video_px not in VIDEO_PX:
        raise UserError(f"video_px: give {VIDEO_PX[0]} to {VIDEO_PX[-1]} pixels, not {video_px}")
    given = [Path(runs)] if isinstance(runs, (str, PathLike)) else [Path(folder) for folder in runs]
    if not given:
        raise UserError("there is no run to report: name a folder of runs")
    folders, options = find_runs(given), PageOptions(clips=videos, panel_px=video_px)
    with second_process(worth=len(folders) >= FEWEST_FOR_TWO) as helper:
        groups, left_out = read_groups(folders, helper)
        files = publish_groups(groups, left_out, given[0] if out is None else Path(out), options, helper)
    return Report(tuple(file.absolute() for file in files), tuple(groups), tuple(left_out.damaged.values()))


def _finished(made: MadeRuns) -> RunResult:
    """Open the finished runs, and write their report into the folder of the first."""
    from reports import write_report

    written = write_report(made.folders, made.run)
    # The report names the folders as they were given; the result still finds them after a change of the working folder.
    first, *trivial = (open_run(folder.absolute()) for folder in (made.run, *made.trivial))
    edited, pairs = (tuple(open_run(folder.absolute()) for folder in folders) for folders in (made.edits, made.pairs))
    return RunResult(first.path, first.manifest, first.scores, edited, tuple(trivial), written.absolute(), pairs)


def _edit_requests(
    skip: bool, asked: Mapping[str, Any], prompt: str | None, source_prompt: str | None, settings: Mapping[str, str]
) -> tuple[EditRequest, ...]:
    """Return the edits that the arguments of :func:`run` ask for; none if they are to be skipped.

    Args:
        skip: whether to make no edit.
        asked: styles, reference and instruction, by the options of the command.
        prompt, source_prompt, settings: captions and settings of the edit.
    """
    from emo_bench.runs.plan import EditRequest
    from emo_bench.runs.styles import choose_style

    given = [option for option, value in asked.items() if value is not None]
    given += ["--set edit.*"] if settings else []
    if skip:
        if given:
            raise UserError(f"--skip-edit and {given[0]} exclude each other")
        return ()
    others = (asked["--reference"], prompt, source_prompt, asked["--instruction"])
    chosen = [choose_style(name, *others) for name in asked["--style"] or [None]]
    return tuple(EditRequest(style, settings, asked_for=bool(given), options=tuple(given)) for style in chosen)


def _texts(given: str | PathLike[str] | Sequence[str | PathLike[str]] | None) -> list[str] | None:
    if given is None:
        return None
    several = [given] if isinstance(given, (str, PathLike)) else given
    if not several:
        raise UserError("style: give a style, or leave it out")
    return [os.fspath(name) for name in several]


def _text(given: str | PathLike[str] | None) -> str | None:
    return None if given is None else os.fspath(given)


def _path(given: str | PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given)
