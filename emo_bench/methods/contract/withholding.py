"""A capture and a home folder out of which held-out pictures are taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emo_bench import paths
from emo_bench.actors.capture import Capture
from emo_bench.actors.library import INFO_FILE, TRACK_FILE, VIDEO_FILE, captures_folder
from emo_bench.video.writing import LOSSLESS, VideoWriter


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
    # A first frame at time 0 keeps the numbers, which readers count from the stream's start.
    blank = np.zeros((capture.size_px, capture.size_px, 3), dtype=np.uint8)
    with VideoWriter(path, LOSSLESS, capture.fps) as writer:
        if readable[0] != 0:
            writer.write(blank, at=0)
        for i, picture in zip(readable, capture.frames(readable), strict=True):
            writer.write(picture, at=i)
    return replace(capture, video=path)
