"""Check the frames of a render command: only files that the command itself wrote count as its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.pictures.reading import is_picture_name


@dataclass(frozen=True)
class FramePlace:
    """The folder of pictures or the video of a render command, with the state of each file before the command ran."""

    path: Path
    before: Mapping[Path, tuple[int, ...]]

    def require_written(self, what: str, log: Path) -> None:
        """Check that there are frames, and that the command wrote all of them.

        Args:
            what: the step, for messages, e.g. ``my-method: render command``.
            log: the log of the command's output.

        Raises:
            UserError: there are no frames, or the command left some of them unchanged; the message names one.
        """
        files = _frame_files(self.path)
        if not files:
            raise UserError(f"{what} ended without frames: there are none at {self.path}; see {log}")
        old = [file for file in files if self.before.get(file) == _mark(file)]
        if old:
            raise UserError(
                f"{what} left {len(old)} of {len(files)} frames at {self.path} as they were before it, e.g. "
                f"{old[0].name}: remove them, or let it write below {{out}}; see {log}"
            )


def frame_place(path: Path, own: Path) -> FramePlace:
    """Record the files at ``path`` before the command runs; frames below ``own``, the run's folder, are removed first.

    Files in other folders belong to the user and are kept; files that are not pictures are kept too.
    """
    if own.resolve() in path.resolve().parents:
        for file in _frame_files(path):
            file.unlink()
    return FramePlace(path, {file: _mark(file) for file in _frame_files(path)})


def _frame_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if is_picture_name(file) and file.is_file())
    return [path] if path.is_file() else []


def _mark(file: Path) -> tuple[int, ...]:
    """Return a mark that changes with any write or rename, even if the writer sets the file's times."""
    state = file.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
