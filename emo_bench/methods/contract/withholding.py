"""A capture and a home folder out of which held-out pictures are taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from emo_bench import paths
from emo_bench.actors.capture import Capture
from emo_bench.actors.library import INFO_FILE, TRACK_FILE, VIDEO_FILE, captures_folder


def home_without(capture: Capture, readable: Sequence[int], home: Path) -> Path:
    """Make a home folder in which the actor's video holds the frames ``readable`` alone; returns ``home``.

    The track lies beside it, whole. What else is at home (assets, caches) is linked; other captures are not there.
    """
    folder = home / captures_folder().name / capture.name
    folder.mkdir(parents=True)
    withhold(capture, readable, folder / VIDEO_FILE)
    shutil.copyfile(capture.track_file, folder / TRACK_FILE)
    info = {"source": capture.source, "frames": len(capture), "fps": capture.fps, "size_px": capture.size_px}
    (folder / INFO_FILE).write_text(json.dumps(info), encoding="utf-8")
    if paths.home().is_dir():
        for entry in paths.home().resolve().iterdir():
            if entry.name != captures_folder().name:
                (home / entry.name).symlink_to(entry)
    return home


def withhold(capture: Capture, readable: Sequence[int], path: Path) -> Capture:
    """A capture whose video holds the frames ``readable`` alone, bit for bit, at their own times; no other is in it."""
    import av

    rate = Fraction(capture.fps).limit_denominator(1001)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=rate, options={"g": "1"})
        stream.width = stream.height = capture.size_px
        stream.pix_fmt = "bgr0"
        # A first frame at time 0 keeps the numbers, which readers count from the stream's start.
        blank = np.zeros((capture.size_px, capture.size_px, 3), dtype=np.uint8)
        pictures = zip(readable, capture.frames(readable), strict=True)
        for i, picture in ([] if readable[0] == 0 else [(0, blank)]) + list(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return replace(capture, video=path)
