"""A capture and a home folder without the pictures of held-out frames."""

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
    """Make a home folder in which the actor's video holds only the frames ``readable``; return ``home``.

    The complete track is beside it. Assets and caches are linked; other captures are not there.
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
    """Write a capture whose video holds only the frames ``readable``, bit for bit, with their original times."""
    # The first frame, at time 0, is needed: readers count frame numbers from the start of the stream.
    blank = np.zeros((capture.size_px, capture.size_px, 3), dtype=np.uint8)
    with VideoWriter(path, LOSSLESS, capture.fps) as writer:
        if readable[0] != 0:
            writer.write(blank, at=0)
        for i, picture in zip(readable, capture.frames(readable), strict=True):
            writer.write(picture, at=i)
    return replace(capture, video=path)
