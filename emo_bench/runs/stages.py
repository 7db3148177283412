"""The three stages of a run: fit, render, score. A finished stage is skipped."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.files import remove_previous, write_bytes
from emo_bench.methods.interface import EditStyle, Method
from emo_bench.methods.max_minutes import OPTION, SETTING, read_record
from emo_bench.metrics import Captions, Settings
from emo_bench.metrics.registry import metric_class
from emo_bench.metrics.watched import missing_for
from emo_bench.progress import track_progress
from emo_bench.runs.checksums import stamps_of, written_since
from emo_bench.runs.fit_reuse import take_fit
from emo_bench.runs.identity import told_by
from emo_bench.runs.machine import MemoryPeak, describe_machine
from emo_bench.runs.manifest import STAGES
from emo_bench.runs.pairs import rendered_capture, subject_of
from emo_bench.runs.recorded import kept_results
from emo_bench.runs.run_scorer import FrameBatch, RunScorer, frame_batches
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.runs.store import PREVIEW, RENDER, SCORES, RunFolder
from emo_bench.runs.truth import NO_TRUTH, Truth
from emo_bench.runs.truth_clip import TruthClip
from emo_bench.video.lossless import FrameDigest, write_lossless
from emo_bench.video.preview import DIFFERENCE_GAIN, EDIT_GAIN, PreviewWriter
from emo_bench.video.writing import FrameU8
from protocols import Protocol, Split

# Raise it if the records of scores get a field that comparisons need: finished runs are then scored again.
RECORDS_VERSION = 2

log = logging.getLogger("emo_bench")


@dataclass
class Job:
    """A run while its stages are made.

    Attributes:
        method: wrapped by :mod:`emo_bench.methods.watched`, which checks the number and the size of its frames.
        fitted: whether the method object holds its fit.
        style: the style of an edit; None for a reenactment.
        edits_clip: whether the method is a video editor, which fits nothing and reads the frames that it renders.
        clip: the CLIP model of CLIP scores.
        made_from: of an edit, the SHA-256 of the files of the fit that it is made from; None for a run.
        driver: the capture of the person who drives the avatar; None outside of cross-reenactment.
        truth: the true pictures of the driven subject.
        views_clip: the pictures of other cameras, for a protocol of novel views.
        fits: folders of other runs that may hold the same fit, which is then copied.
    """

    folder: RunFolder
    method: Method
    capture: Capture
    protocol: Protocol
    split: Split
    device: str
    fitted: bool = False
    style: EditStyle | None = None
    edits_clip: bool = False
    clip: str = ANY_CLIP
    made_from: dict[str, str] | None = None
    driver: Capture | None = None
    truth: Truth = NO_TRUTH
    views_clip: TruthClip | None = None
    fits: tuple[Path, ...] = ()

    @property
    def recorded(self) -> Capture:
        """The capture with the frames that the rendered ones are scored against."""
        return self.driver or self.capture

    @property
    def name(self) -> str:
        return self.method.info.name


def do_all(job: Job) -> None:
    """Do the unfinished stages, in order."""
    fit(job)
    render(job)
    score(job)


def fit(job: Job) -> None:
    """Fit the method on the training frames; no other frame can be read."""
    inputs, fitted = job.made_from, job.folder.manifest["stages"].get("fit", {})
    if fitted.get("finished_at") and inputs != fitted.get("inputs"):
        if fitted.get("inputs") is None:
            # An older version did not record it.
            inputs = None
        else:
            log.warning("fit: the run was fitted again since %s was made from it: it is made again", job.folder.path)
    if _done(job, "fit", job.method.fit_files, inputs) or take_fit(job.folder, job.fits, job.method.fit_files):
        return

    def work() -> dict[str, Any]:
        seen = job.capture.restricted(job.split.train)
        job.method.fit(seen, list(job.split.train))
        job.fitted = True
        job.folder.note(described=job.method.describe())
        return {"frames": len(job.split.train), **_limited(job)}

    _stage(job, "fit", work, job.made_from, names=job.method.fit_files)


def _limited(job: Job) -> dict[str, Any]:
    """Return the entry of a fit with a limit on its time; a method that keeps no record of it is noted."""
    limits = job.style is None and SETTING in job.folder.manifest["identity"]["settings"]
    if not limits:
        return {}
    record = read_record(job.folder.path)
    if record is None:
        _flag(job, f"{job.method.info.title} does not say whether its fit kept to {OPTION}")
        return {}
    log.info("fit: %d of %d steps, %s %g", record.steps_taken, record.steps, OPTION, record.minutes)
    return {"time_limit": dataclasses.asdict(record)}


def render(job: Job) -> None:
    """Render the held-out frames from their track only, or edit them, and store them losslessly."""
    inputs = job.method.render_inputs()
    if _done(job, "render", (RENDER,), inputs):
        return

    # The time to transfer the motion is no time of the method.
    seen = rendered_capture(job.protocol, job.capture, job.driver)
    if job.edits_clip:
        seen = job.capture.restricted(job.split.test)

    def work() -> dict[str, Any]:
        if not job.fitted:
            job.method.load()
        frames: Iterator[FrameU8] = iter(job.method.render(seen, list(job.split.test)))
        # A video editor may show the progress of long work before its first frame, and there is one bar at a time.
        first = [next(frames)] if job.edits_clip else []
        with track_progress(len(job.split.test), f"{job.name}: {'edit' if job.edits_clip else 'render'}") as advance:

            def counted() -> Iterator[FrameU8]:
                for frame in chain(first, frames):
                    advance()
                    yield frame

            count, sha256 = write_lossless(job.folder.path / RENDER, counted())
        if job.edits_clip:
            # Whether the clip went in windows is known now.
            for flag in told_by(job.method):
                if flag not in job.folder.manifest["flags"]:
                    _flag(job, flag)
        return {"frames": count, "frames_sha256": sha256}

    _stage(job, "render", work, inputs, (RENDER,))


def score(job: Job) -> None:
    """Score the rendered frames against the recorded ones, and write the preview."""
    inputs = score_inputs(job.protocol, job.clip)
    if _done(job, "score", (SCORES, PREVIEW), inputs):
        return

    def work() -> dict[str, Any]:
        style = job.style
        captions = None if style is None else Captions(style.source_caption, style.target_caption)
        subject = subject_of(job.capture, job.split.train, job.method.resolution_px)
        settings = Settings(device=job.device, clip=job.clip, captions=captions, subject=subject)
        with kept_results(job.recorded) as kept:
            scorer = RunScorer(job.protocol, settings, job.method.resolution_px, job.recorded, job.truth, kept)
            digest, equal = _score_frames(job, scorer)
        if digest != job.folder.manifest["stages"]["render"]["frames_sha256"]:
            raise UserError(f"{job.folder.path / RENDER} is not what was rendered: remove it and run again")
        if equal:
            count = f"{equal} of {len(job.split.test)}"
            _flag(job, f"{count} rendered frames are the recorded ones, bit for bit")
        table = scorer.table()
        table.attrs |= {"smoke": job.folder.manifest["smoke"], "frames_sha256": digest}
        write_bytes(job.folder.path / SCORES, table.to_parquet())
        return {"records": table.attrs["records"], "frames": len(table)}

    _stage(job, "score", work, inputs, (SCORES, PREVIEW))


def _score_frames(job: Job, scorer: RunScorer) -> tuple[str, int]:
    """Score both videos frame by frame, and write the preview.

    Returns the digest of the rendered frames, and the number of rendered frames that equal the recorded ones.
    """
    test, path = job.split.test, job.folder.path
    digest, equal = FrameDigest(), 0
    smoke = "   SMOKE: not a result" if job.folder.manifest["smoke"] else ""
    style = f", {job.style.name}" if job.style else ""
    actor = f"actor {job.capture.name}" + (f" driven by {job.driver.name}" if job.driver else "")
    title = f"{job.method.info.title}{style}   {actor}   {job.protocol.name} {job.split.name}{smoke}"
    compares = job.driver is None or job.truth.pictures is not None
    gain = DIFFERENCE_GAIN if compares and not job.style else EDIT_GAIN
    with (
        PreviewWriter(path / PREVIEW, title, job.recorded.fps, gain, panels_of(job)) as preview,
        track_progress(len(test), f"{job.name}: score") as advance,
        ThreadPoolExecutor(1, "preview") as beside,
    ):
        for batch in frame_batches(path, job.views_clip or job.recorded, test, job.method.resolution_px, job.truth):
            drawn = beside.submit(_draw, preview, batch)
            for mine, source in zip(batch.rendered, batch.recorded, strict=True):
                digest.add(mine)
                equal += np.array_equal(mine, source)
            scorer.add(batch)
            drawn.result()
            advance(len(batch.numbers))
    return digest.hexdigest(), equal


def panels_of(job: Job) -> tuple[str, ...]:
    """Return the labels of the pictures that the preview shows beside each other; our frame is the last of them."""
    recorded = "truth" if job.views_clip else "driver" if job.driver else "source"
    return (recorded, *(("truth",) if job.truth.pictures is not None else ()), "ours")


def _draw(preview: PreviewWriter, batch: FrameBatch) -> None:
    sides = [batch.recorded, *([] if batch.true is None else [batch.true]), batch.rendered]
    for panels in zip(*sides, strict=True):
        preview.add(*panels)


def _flag(job: Job, sentence: str) -> None:
    """Add a note that the reports of the run show; a second scoring does not repeat it."""
    flags = job.folder.manifest["flags"]
    if sentence not in flags:
        job.folder.note(flags=[*flags, sentence])
    log.warning("note: %s", sentence)


def score_inputs(protocol: Protocol, clip: str) -> dict[str, Any]:
    """Return what the scores depend on besides the frames; if it changes, a finished run is scored again.

    Args:
        protocol: its metrics.
        clip: the CLIP model of CLIP scores, as the user gives it.
    """
    chosen = {} if clip == ANY_CLIP else {"clip": clip}
    return metric_states(protocol) | chosen | {"version of records": RECORDS_VERSION}


def metric_states(protocol: Protocol) -> dict[str, Any]:
    """Return each metric's version and file, and whether its backend is here; if these change, scores are outdated."""
    classes = [metric_class(name) for name in protocol.scoring.all_metrics]
    classes += [metric_class(cls.info.fallback) for cls in classes if cls.info.fallback]
    return {
        cls.info.id: {"version": cls.info.version, "here": missing_for(cls, None) is None}
        | ({"file_sha256": cls.file_sha256} if cls.file_sha256 else {})
        for cls in classes
    }


def _done(job: Job, name: str, files: Sequence[str], inputs: Any = None) -> bool:
    """Return whether a stage is finished, with the same inputs and undamaged files; log that, or the damage."""
    if not job.folder.finished(name, inputs):
        return False
    damage = job.folder.damage(name, files)
    if damage is None:
        log.info("%s: already done, skipped", name)
        for file in job.folder.changed_others(name):
            path = job.folder.path / file
            log.warning("%s: %s has changed since it was written; no score depends on it", name, path)
    else:
        log.warning("%s: %s in %s: the stage is done again", name, damage, job.folder.path)
    return damage is None


def _stage(
    job: Job, name: str, work: Callable[[], dict[str, Any]], inputs: Any = None, names: Sequence[str] = ()
) -> None:
    """Do the work of a stage, always from the same random state, and store that it is finished with its cost."""
    attempt = job.folder.start(name)
    # There is nothing to say about the fit of a method that fits nothing.
    level = logging.DEBUG if job.edits_clip and name == "fit" else logging.INFO
    log.log(level, "%s: start%s", name, f", attempt {attempt}" if attempt > 1 else "")
    seed_all(int(job.folder.manifest["identity"]["seed"]))
    # An interrupted fit left files of its own, which are outputs too.
    before = {} if name == STAGES[0] else stamps_of(job.folder.path)
    peak, started = MemoryPeak(job.device), time.monotonic()
    facts = work()
    remove_previous(job.folder.path)
    seconds = round(time.monotonic() - started, 2)
    ours = {*names, RENDER, SCORES, PREVIEW}
    job.folder.finish(
        name,
        inputs,
        names,
        [file for file in written_since(job.folder.path, before) if file not in ours],
        seconds=seconds,
        **peak.read_mib(),
        **facts,
        machine=describe_machine(job.device),
    )
    log.log(level, "%s: done in %.1f s", name, seconds)


def seed_all(seed: int) -> None:
    """Set the random state that every stage begins with."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
