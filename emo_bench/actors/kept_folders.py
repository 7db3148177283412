"""The folders that keep results of a capture's frames, such as detected faces, for later runs."""

from __future__ import annotations

from pathlib import Path

from emo_bench import paths
from emo_bench.actors.capture import Capture
from emo_bench.actors.library import BUNDLED

NAME = "detections"


def kept_folders(capture: Capture) -> tuple[Path, ...]:
    """Return the folders for kept results, the first is preferred; none if ``EMO_BENCH_NO_CACHE`` is set.

    A user's capture has its folder beside the video. The files of a bundled actor belong to the installed package, so
    its folder is under ``EMO_BENCH_HOME``, as is that of a capture whose folder cannot be written.
    """
    if paths.no_cache():
        return ()
    return _folders(capture)


def kept_bytes(capture: Capture) -> int:
    """Return the size of all files with kept results of a capture."""
    return sum(file.stat().st_size for folder in _folders(capture) for file in folder.glob("*") if file.is_file())


def _folders(capture: Capture) -> tuple[Path, ...]:
    in_home = paths.home() / NAME / capture.name
    return (in_home,) if capture.folder == BUNDLED else (capture.folder / NAME, in_home)
