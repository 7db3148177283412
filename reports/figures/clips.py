"""Clips for pages: recorded, true and rendered frames side by side as WebM, small enough to embed in a page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from emo_bench.errors import UserError
from emo_bench.runs.checksums import require_unchanged
from emo_bench.runs.finished import FinishedRun
from emo_bench.runs.store import PREVIEW
from emo_bench.video.container import open_video
from emo_bench.video.preview import LABEL_PX
from emo_bench.video.writing import Encoding, FrameU8, write_video

DEFAULT_PANEL_PX = 256
Kept = Literal["all", "compared", "ends"]
# VP9 at constant quality and its fastest setting: a fifth of the time of the next setting, and a third more bytes.
OPTIONS = {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "8"}


def read_panels(
    run: FinishedRun, panel_px: int, start: int = 0, stop: int | None = None, *, kept: Kept = "all"
) -> Iterator[FrameU8]:
    """Read the panels of a run's preview without the difference, uint8 ``[P, N P, 3]``, one picture at a time.

    They are the recorded frame, the true picture of a driven avatar if there is one, and the rendered frame. ``P`` is
    even and at most ``panel_px``. Small frames that the preview magnifies are returned at their own size.
    ``kept`` says which panels stay: ``all`` of them, those that are ``compared`` (the rendered frame and the true
    picture, or the recorded frame if there is none), or the ``ends`` (the recorded and the rendered frame).

    Raises:
        UserError: the preview is missing or damaged.
    """
    import av

    path = run.path / PREVIEW
    size = min(panel_px, int(run.manifest["identity"]["resolution_px"])) // 2 * 2
    again = "give the run's command again"
    if not path.is_file():
        raise UserError(f"{path} is missing: {again}")
    require_unchanged(run.path, run.manifest, [PREVIEW])
    number = -1
    try:
        with open_video(path) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number < start:
                    continue
                if stop is not None and number >= stop:
                    return
                yield _panels(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8), size, kept)
    except (OSError, av.FFmpegError, IndexError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): {again}") from error
    if number < start:
        raise UserError(f"{path} ends after {number + 1} frames: {again}")


def encode_webm(frames: Iterator[FrameU8], fps: float, options: Mapping[str, str] = OPTIONS) -> bytes:
    """VP9 in WebM of frames uint8 ``[H, W, 3]`` with even sides; ``options`` are libvpx's. ValueError if no frame."""
    file = io.BytesIO()
    # Without bitexact the container gets a random number, and the same clip another SHA-256 each time.
    webm = Encoding("webm", "libvpx-vp9", "yuv420p", options, {"fflags": "+bitexact"}, threads=1)
    write_video(file, frames, webm, fps)
    return file.getvalue()


def _panels(picture: FrameU8, size: int, kept: Kept) -> FrameU8:
    """The panels of a preview's frame without its header and its difference, each ``size`` pixels wide."""
    from PIL import Image

    row = picture[2 * LABEL_PX :]
    # Panels are square; a side of the row may lack the last pixel, because a video's sides are even.
    count = round(row.shape[1] / row.shape[0])
    width = row.shape[1] // count
    height = row.shape[0] // 2 * 2
    # A preview shows frames at their own size or magnified.
    size = min(size, width // 2 * 2)
    places = {"all": range(count - 1), "compared": (count - 3, count - 2), "ends": (0, count - 2)}[kept]
    panels = [row[:height, i * width : i * width + width] for i in places]
    resized = [Image.fromarray(panel).resize((size, size), Image.Resampling.BOX) for panel in panels]
    return np.concatenate([np.asarray(panel) for panel in resized], axis=1)
