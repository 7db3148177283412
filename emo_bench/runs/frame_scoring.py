"""Score frames from any source, that is a folder, a video or a finished run, under any scoring convention."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.metrics import DEFAULT_METRICS, Scorer, Settings
from emo_bench.metrics.aggregation import reasons, video_scores
from emo_bench.metrics.conventions import Convention, find_convention
from emo_bench.metrics.metric import NO_BACKEND
from emo_bench.metrics.preparing import Background
from emo_bench.metrics.registry import may_use_clip, metric_class, scored_class
from emo_bench.metrics.scoring import AS_FILMED
from emo_bench.metrics.watched import aggregated, missing_for
from emo_bench.progress import track_progress
from emo_bench.runs.frame_preparation import Surroundings, prepared
from emo_bench.runs.machine import describe_machine
from emo_bench.runs.recorded import kept_results_of
from emo_bench.runs.run_sources import run_sources, subject_of_run
from emo_bench.runs.settings import ANY_CLIP
from emo_bench.text.csv_text import csv_text
from emo_bench.video.frame_source import FrameSource, in_batches, is_on_black, match, open_frames
from emo_bench.video.masks import open_masks
from emo_bench.video.mattes import colours_of, has_matte, mattes_of, without_alpha

if TYPE_CHECKING:
    import pandas

BATCH = 16
WHOLE = "full frame"
# In the records of pictures with transparent parts: their own background is not what was scored.
ON_BLACK = ", the frames' alpha on black"
REGIONS = (WHOLE, "foreground", "face")


@dataclass(frozen=True)
class ScoreRequest:
    """A request to score frames.

    Attributes:
        frames: a folder of pictures, a video, or a run's folder, which brings its own reference and masks.
        reference: a folder or a video; None for metrics that need none, and for a run.
        masks: the masks of the reference, a folder of pictures or a video, as ``masks.open_masks`` takes them.
        metrics: ids, or ``path/to/file.py:Class``; if empty, the metrics of the convention, or the default ones.
        convention: name of a convention; None scores the frames as they are.
        background, region: replace those of the convention.
        settings: device, detector, CLIP model, captions, frame rate.
        mask_labels: the label values of the person, if the masks are label maps.
    """

    frames: Path
    reference: Path | None = None
    masks: Path | None = None
    metrics: tuple[str, ...] = ()
    convention: str | None = None
    background: str | None = None
    region: str | None = None
    settings: Settings = field(default_factory=Settings)
    mask_labels: tuple[int, ...] = ()


def score_request(request: ScoreRequest) -> pandas.DataFrame:
    """Score the frames in one pass and return a table as ``Scorer.table`` does.

    Its ``attrs`` also hold ``"convention"``, ``"frames"``, ``"identical"`` (see :func:`identical_frames`), ``"notes"``
    (sentences about the sources), ``"means"`` and ``"reasons"`` (the scores of the video and why one is missing),
    ``"sources"`` (the names of what was scored), ``"asked"`` (the request) and ``"machine"``.

    Raises:
        UserError: the sources do not fit together, something that the convention needs is missing, or the masks or the
            region have no effect.
    """
    convention = _convention(request)
    metrics = request.metrics or convention.metrics
    if request.settings.clip != ANY_CLIP and not any(map(may_use_clip, metrics)):
        raise UserError(f"none of the metrics {', '.join(metrics)} uses CLIP: leave the CLIP model out")
    _require_effect(request, convention, metrics)
    sources = _sources(request, convention)
    frames = sources[0]
    assert frames is not None
    surroundings = Surroundings(convention)
    with kept_results_of(request.frames) as kept, track_progress(len(frames), "score") as advance:
        scorer = Scorer(
            metrics,
            settings=_settings(request, sources),
            resize_filter=f"{convention.resize_filter} to {convention.size_px} px" if convention.size_px else "none",
            background=convention.background_label,
            region=_region_label(request, convention),
            kept=kept,
        )
        for names, parts in in_batches(sources, BATCH):
            scorer.add(*prepared(names, parts, convention))
            surroundings.add(parts)
            advance(len(names))
    table = scorer.table()
    if is_on_black(frames):
        for record in table.attrs["records"].values():
            record["background"] += ON_BLACK
    table.attrs |= {"convention": convention.name, "frames": str(request.frames)}
    table.attrs["identical"] = identical_frames(table)
    table.attrs["notes"] = [*_notes(request, convention, table, sources), *surroundings.notes()]
    table.attrs |= _facts(request, convention, table, sources)
    return table


def _facts(
    request: ScoreRequest, convention: Convention, table: pandas.DataFrame, sources: Sequence[FrameSource | None]
) -> dict[str, Any]:
    """Return what a reader needs to score again, and the scores of the video, as plain JSON values."""
    settings = request.settings
    names = ("frames", "reference", "masks")
    return {
        "means": {name: value if np.isfinite(value) else str(value) for name, value in video_scores(table).items()},
        "reasons": reasons(table),
        "sources": {name: source.title if source else None for name, source in zip(names, sources, strict=True)},
        "asked": {
            "metrics": list(request.metrics or convention.metrics),
            "region": convention.region,
            "background": convention.background,
            "compositing": str(convention.compositing),
            "size_px": convention.size_px,
            "mask_labels": list(request.mask_labels),
            "detector": settings.detector,
            "clip": settings.clip,
            "captions": asdict(settings.captions) if settings.captions else None,
            "fps": settings.fps,
        },
        "machine": describe_machine(settings.device),
    }


def _require_effect(request: ScoreRequest, convention: Convention, metrics: Sequence[str]) -> None:
    """Refuse masks that nothing uses, and a region that no metric takes.

    Raises:
        UserError: the masks or the region would have no effect.
    """
    if request.masks is not None and not convention.needs_masks:
        raise UserError("--masks: no score would use the masks: give --region or --background too, or leave them out")
    asked = request.masks is not None or request.region not in (None, WHOLE)
    if not asked or convention.region == WHOLE or convention.background != AS_FILMED:
        return
    infos = [metric_class(name).info for name in metrics]
    if not any(info.takes_region for info in infos):
        option = "--masks" if request.masks is not None else "--region"
        raise UserError(
            f"{option}: none of {', '.join(info.id for info in infos)} can be restricted to a region: leave it out, or "
            "score another metric, such as psnr"
        )


def _region_label(request: ScoreRequest, convention: Convention) -> str:
    """Return the region with what it is made of, as the records name it."""
    if convention.region == WHOLE:
        return WHOLE
    if request.masks is not None:
        return f"{convention.region}, by the given masks"
    if (request.frames / "run.json").is_file():
        made = "hull of the tracked landmarks" if convention.region == "face" else "by the actor's track"
        return f"{convention.region}, {made}"
    return f"{convention.region}, by the reference's alpha"


def _settings(request: ScoreRequest, sources: Sequence[FrameSource | None]) -> Settings:
    """Return the request's settings, with the subject of a run; without a frame rate, that of the first video."""
    rates = (request.settings.fps, *(source.fps for source in sources if source))
    fps = next((rate for rate in rates if rate is not None), None)
    return replace(request.settings, fps=fps, subject=subject_of_run(request.frames))


def _notes(
    request: ScoreRequest, convention: Convention, table: pandas.DataFrame, sources: Sequence[FrameSource | None]
) -> list[str]:
    """Return what a reader of the scores should know, each sentence once."""
    notes = [
        *(
            f"{metric}: inf, {found['frames']} of {len(table)} frames identical"
            for metric, found in table.attrs["identical"].items()
        ),
        *_undefined(table),
        *_replaced(request.settings, table),
        *_other_than_the_source(convention, table),
        *(note for source in sources if source for note in source.notes),
        *_masks_named(request, convention),
    ]
    return list(dict.fromkeys(notes))


def _undefined(table: pandas.DataFrame) -> list[str]:
    """Say for each metric why some frames have no score; if no frame has one, the metric's record says it."""
    notes = []
    for metric, record in table.attrs["records"].items():
        why = scored_class(metric).info.undefined
        if record["frames_dropped"] and record["backend"]["name"] != NO_BACKEND and why:
            notes.append(f"{metric}: undefined in {len(record['frames_dropped'])} of {len(table)} frames: {why}")
    return notes


def _replaced(settings: Settings, table: pandas.DataFrame) -> list[str]:
    """Say which metrics were replaced by another one, and why."""
    return [
        f"{record['instead_of']}: {missing_for(metric_class(record['instead_of']), settings)}; {metric} is scored "
        f"instead: it is another quantity, do not compare it with any {record['instead_of']}"
        for metric, record in table.attrs["records"].items()
        if "instead_of" in record
    ]


def _other_than_the_source(convention: Convention, table: pandas.DataFrame) -> list[str]:
    """Say where the scores of a convention are not what its source's code computes."""
    notes = []
    for metric, record in table.attrs["records"].items():
        used, theirs = record["backend"]["name"], convention.backends.get(metric)
        if metric in convention.stands_for and used != NO_BACKEND:
            notes.append(f"{metric}: stands for {convention.stands_for[metric]}; here by {used}")
        elif theirs not in (None, used) and used != NO_BACKEND:
            notes.append(f"{metric}: {convention.name} uses {theirs}, here {used}: the numbers cannot be compared")
    return notes


def _masks_named(request: ScoreRequest, convention: Convention) -> list[str]:
    """Say that the masks were taken as those of the face: their files do not tell a face from a person."""
    if request.masks is None or convention.region != "face":
        return []
    return [f"the masks of {request.masks} are taken as the face"]


def identical_frames(table: pandas.DataFrame) -> dict[str, dict[str, object]]:
    """Count for each metric with infinite scores the ``frames`` that equal their reference.

    ``others_mean`` is the mean over the other frames, or None if there are none.
    """
    found: dict[str, dict[str, object]] = {}
    for metric in table.columns:
        scores = table[metric].to_numpy()
        infinite = np.isinf(scores)
        if infinite.any():
            mean = aggregated(scored_class(metric), scores[~infinite])
            found[metric] = {"frames": int(infinite.sum()), "others_mean": None if np.isnan(mean) else mean}
    return found


def long_form(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row per frame and metric, with score, unit, direction, backend, resolution, region and background.

    ``reason`` says why a frame has no score.
    """
    import pandas

    parts = []
    for metric, record in table.attrs["records"].items():
        part = pandas.DataFrame({"frame": [str(name) for name in table.index], "metric": metric})
        part["score"] = table[metric].to_numpy()
        part["backend"] = record["backend"]["name"]
        for key in ("version", "unit", "direction", "resolution", "region", "background"):
            part[key] = record[key]
        absent = record["backend"]["detail"] if record["backend"]["name"] == NO_BACKEND else record["undefined"]
        part["reason"] = np.where(np.isnan(part["score"]), absent or "undefined", "")
        parts.append(part)
    return pandas.concat(parts, ignore_index=True)


def write_scores(table: pandas.DataFrame, folder: Path) -> list[Path]:
    """Write ``scores.parquet`` and ``.csv`` (wide), ``scores_long.parquet`` and ``.csv``, and ``records.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tall = long_form(table)
    wide = table.copy()
    wide.index = wide.index.map(str)
    contents = {
        "scores.parquet": wide.to_parquet(),
        "scores.csv": csv_text(wide, index=True).encode(),
        "scores_long.parquet": tall.to_parquet(),
        "scores_long.csv": csv_text(tall).encode(),
        "records.json": (json.dumps(table.attrs, indent=2, default=str, allow_nan=False) + "\n").encode(),
    }
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return [folder / name for name in contents]


def _convention(request: ScoreRequest) -> Convention:
    if request.convention is None:
        chosen = Convention("none", "the frames as they are", (), DEFAULT_METRICS)
    else:
        chosen = find_convention(request.convention)
    if request.region is not None and request.region not in REGIONS:
        raise UserError(f"unknown region {request.region!r}; known: {', '.join(REGIONS)}")
    background: Background = chosen.background
    if request.background is not None:
        known = {name: name for name in get_args(Background)}
        if request.background not in known:
            raise UserError(f"unknown background {request.background!r}; known: {', '.join(known)}")
        background = known[request.background]
    return replace(chosen, background=background, region=request.region or chosen.region)


def _sources(request: ScoreRequest, convention: Convention) -> list[FrameSource | None]:
    """Open frames, reference and masks, and check that they fit together."""
    if (request.frames / "run.json").is_file():
        for option, value in (("--reference", request.reference), ("--masks", request.masks)):
            if value:
                raise UserError(f"{request.frames} is a run and brings its own reference and masks: leave {option} out")
        return run_sources(request.frames, convention, request.metrics or convention.metrics)
    frames = open_frames(request.frames)
    reference = None if request.reference is None else match(open_frames(request.reference), frames)
    if convention.reads_colours_alone or convention.changes_reference_only:
        # As the code of these projects does, which reads three channels.
        frames = without_alpha(frames)
    if convention.reads_colours_alone and reference is not None:
        reference = without_alpha(reference)
    if not convention.needs_masks:
        return [frames, reference, None]
    own_matte = convention.changes_reference_only and reference is not None and has_matte(reference)
    if request.masks is not None:
        masks = match(open_masks(request.masks, request.mask_labels, soft=convention.blends), frames)
    elif own_matte and reference is not None:
        masks = mattes_of(reference)
    else:
        raise UserError(_masks_wanted(request, convention))
    return [frames, colours_of(reference) if own_matte and reference is not None else reference, masks]


def _masks_wanted(request: ScoreRequest, convention: Convention) -> str:
    """Say what needs masks, and how to give them."""
    options = [f"--region {convention.region}"] * (convention.region != "full frame")
    options += [f"--background {convention.background}"] * (convention.background != "as filmed")
    cause = f"convention {convention.name}" if request.convention else " with ".join(options)
    matte = convention.changes_reference_only * ", or reference pictures with an alpha channel"
    whose = "face" if convention.region == "face" else "person"
    return f"{cause} needs masks of the {whose} in the reference: give --masks{matte}"
