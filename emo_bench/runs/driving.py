"""Drive an avatar by another person's motion, and show both side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emo_bench.actors import Capture, list_actors, load
from emo_bench.actors.add import add_video
from emo_bench.actors.capture import resize_area
from emo_bench.actors.names import check_name
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method
from emo_bench.metrics import Scorer, Settings
from emo_bench.progress import track_progress
from emo_bench.runs.pairs import subject_of
from emo_bench.runs.plan import CROSS_PROTOCOL
from emo_bench.runs.run_scorer import SCORE_BATCH, open_scorer
from emo_bench.runs.transfer import driven_capture
from emo_bench.video.writing import H264, write_video
from protocols import load_protocol

SHOWN_PX = 256

log = logging.getLogger("emo_bench")


def load_driver(by: str) -> Capture:
    """Return the capture of the driving person.

    Args:
        by: the name of an actor, or a video file. A video is tracked and kept as an actor with the name of the file.

    Raises:
        UserError: there is no such actor or video, the video cannot be tracked, or an actor already has the video's
            name.
    """
    video = Path(by)
    if not video.is_file():
        return load(by)
    name = check_name(video.stem)
    if name in {info.name for info in list_actors()}:
        raise UserError(f"there is already an actor {name}: give --by {name}, or rename the video")
    log.info("%s", add_video(video, name))
    return load(name)


def driven_scorer(method: Method, own: Capture, train: Sequence[int], driver: Capture) -> Scorer:
    """Return a scorer of driven frames against the driver's, with the metrics of protocol ``cross_reenactment``.

    Metrics of the true picture are left out: an MP4 shows all frames of the driver, and few of them have one.

    Args:
        method: a fitted method or a finished edit.
        own: the capture that it was fitted on.
        train: its training frames.
        driver: the capture of the driving person.
    """
    size_px = method.resolution_px
    settings = Settings(device=method.workspace.device, subject=subject_of(own, train, size_px))
    protocol = load_protocol(CROSS_PROTOCOL)
    return open_scorer(protocol, settings, size_px, driver, protocol.scoring.metrics)


def render_driven(
    method: Method, own: Capture, driver: Capture, frames: int | None, path: Path, scorer: Scorer | None = None
) -> int:
    """Render an avatar driven by another person to an H.264 MP4, beside the driver; return the number of frames.

    Args:
        method: a fitted method or a finished edit.
        own: the capture that it was fitted on.
        driver: the capture of the driving person.
        frames: the greatest number of frames, from the start; None takes all frames with a face.
        path: the video file; it is written whole or not at all.
        scorer: gets the rendered frames and those of the driver, if it is given.

    Raises:
        UserError: the driver has no frame with a face.
    """
    indices = [int(i) for i in driver.valid_indices[:frames]]
    if not indices:
        raise UserError(f"actor {driver.name} has no frame with a face to drive with")
    rendered = method.render(driven_capture(own, driver), indices)
    recorded = driver.frames(indices, size=SHOWN_PX)

    def pictures() -> Iterator[np.ndarray]:
        waiting: list[np.ndarray] = []
        with track_progress(len(indices), f"drive by {driver.name}") as advance:
            for i, (theirs, ours) in enumerate(zip(recorded, rendered, strict=True), start=1):
                waiting.append(ours)
                if len(waiting) == SCORE_BATCH or i == len(indices):
                    numbers = indices[i - len(waiting) : i]
                    if scorer is not None:
                        truth = driver.frames(numbers, size=method.resolution_px)
                        scorer.add(np.stack(waiting), np.stack(list(truth)), numbers)
                    waiting.clear()
                advance()
                yield np.concatenate([theirs, resize_area(ours, SHOWN_PX)], axis=1)

    write_mp4(path, pictures(), driver.fps)
    return len(indices)


def write_mp4(path: Path, pictures: Iterator[np.ndarray], fps: float) -> None:
    """Write frames ``uint8 [H, W, 3]``, H and W even, as an H.264 video; ``path`` appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures, H264, fps)
