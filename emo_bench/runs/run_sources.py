"""The frames of a finished run as sources of a scoring: rendered, recorded, masks, and frames of its subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors import load
from emo_bench.errors import UserError
from emo_bench.metrics.batch import Subject
from emo_bench.metrics.conventions import Convention
from emo_bench.metrics.registry import metric_class
from emo_bench.pictures.reading import FrameU8
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.finished import AGAIN, load_run
from emo_bench.runs.manifest import MANIFEST, read_manifest, shown_actor
from emo_bench.runs.pairs import load_same, subject_of
from emo_bench.runs.rescoring import protocol_of
from emo_bench.runs.store import RENDER
from emo_bench.runs.truth import Pictures, truth_of, views_clip
from emo_bench.video.frame_source import FrameSource
from emo_bench.video.lossless import read_lossless
from protocols.splitting import parse_frames


def subject_of_run(run: Path) -> Subject | None:
    """Return recorded frames of the subject of a run, at the size of its frames; None if the folder is no run."""
    if not (run / MANIFEST).is_file():
        return None
    manifest = read_manifest(run)
    identity, train = manifest["identity"], parse_frames(manifest["split"]["train"])
    return subject_of(load_same(identity["actor"]), train, int(identity["resolution_px"]))


def run_sources(run: Path, convention: Convention, metrics: Sequence[str]) -> list[FrameSource | None]:
    """Return a finished run's rendered frames, the reference and, if the convention uses masks, masks.

    The reference of a driven avatar is the true pictures for the metrics that its protocol compares with them, and the
    driver's frames for others. Otherwise it is the recorded frames.

    Args:
        run: the folder of the run.
        convention: how the frames are scored.
        metrics: what is scored.

    Raises:
        UserError: the run is not finished or damaged, its actor has changed since, or the metrics compare with
            different references.
    """
    finished = load_run(run)
    require_unchanged(run, finished.manifest, [RENDER])
    identity = finished.manifest["identity"]
    shown = shown_actor(identity)
    capture = load(shown["name"])
    if capture.sha256 != shown["sha256"]:
        raise UserError(
            f"actor {capture.name} is no longer the one that {run} was made with: add its video again, or run again"
        )
    size = int(identity["resolution_px"])
    _require_size(run, size)
    test = [int(i) for i in finished.scores.index]
    face_px = convention.size_px or size
    truth = _truth(run, finished.manifest, convention, metrics, test)
    compared, title = (capture, "reference") if truth is None else (truth, "truth")

    def masks() -> Iterator[FrameU8]:
        for i in test:
            if convention.region == "face":
                mask = face_mask(capture.track.landmarks68[i] * (face_px / capture.size_px), face_px)
            else:
                mask = capture.track.foreground(i, size)
            yield np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255

    def source(title: str, read: object) -> FrameSource:
        return FrameSource(f"{title} of {run}", tuple(test), read, False, fps=capture.fps)  # type: ignore[arg-type]

    return [
        source("frames", lambda: read_lossless(run / RENDER)),
        source(title, lambda: compared.frames(test, size=size)),
        source("masks", masks) if convention.needs_masks else None,
    ]


def _truth(
    run: Path, manifest: Mapping[str, Any], convention: Convention, metrics: Sequence[str], test: Sequence[int]
) -> Pictures | None:
    """Return the true pictures if the metrics compare with them; None if they compare with recorded frames."""
    if "views_capture" in manifest:
        _require_no_masks(run, convention)
        return views_clip(protocol_of(manifest), load_same(manifest["identity"]["actor"]), test)
    listed = [metric_class(name).info for name in manifest.get("truth", {}).get("metrics", ())]
    among = {name for info in listed for name in (info.id, info.fallback) if name}
    infos = [metric_class(name).info for name in metrics]
    wanted = [info.id for info in infos if info.id in among]
    if not wanted:
        return None
    others = [info.id for info in infos if info.id not in among and (info.needs_reference or info.optional_reference)]
    if others:
        raise UserError(
            f"in {run}, {wanted[0]} compares with the true picture and {others[0]} with the driver's frame: score them "
            "in two commands"
        )
    _require_no_masks(run, convention)
    identity = manifest["identity"]
    driver = load_same(identity["driver"])
    truth = truth_of(protocol_of(manifest), load_same(identity["actor"]), driver, test)
    if truth.pictures is None:
        raise UserError(f"{run}: {wanted[0]} cannot be scored, because {truth.reason}")
    return truth.pictures


def _require_no_masks(run: Path, convention: Convention) -> None:
    if convention.needs_masks:
        raise UserError(f"{run}: no mask of the true pictures is known: leave the region and the background out")


def _require_size(run: Path, size: int) -> None:
    """Check the size of the rendered frames: a damaged run.json may name any size."""
    for frame in read_lossless(run / RENDER, [0]):
        height, width = frame.shape[:2]
        if (width, height) != (size, size):
            raise UserError(
                f"{run} is damaged: its frames are {width} x {height} px, and run.json says {size} x {size}: {AGAIN}"
            )


def face_mask(landmarks68_px: np.ndarray, size_px: int) -> np.ndarray:
    """Return the convex hull ``[S, S]`` bool of 68 landmarks ``[68, 2]`` px; it covers the face from jaw to brows."""
    from emo_bench.system import opencv as cv2

    mask = np.zeros((size_px, size_px), dtype=np.uint8)
    hull = cv2.convexHull(np.round(landmarks68_px).astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(mask, hull, 1) > 0)
