"""Where a render command leaves its frames: only what it wrote itself is taken for its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.pictures.reading import is_picture_name


@dataclass(frozen=True)
class FramePlace:
    """A folder of pictures or a video, and what lay there before the command, with marks of each file's state."""

    path: Path
    before: Mapping[Path, tuple[int, ...]]

    def require_written(self, what: str, log: Path) -> None:
        """Check that there are frames, and that the command wrote all of them.

        Args:
            what: names the step, e.g. ``my-method: render command``.
            log: of its output.

        Raises:
            UserError: there are none, or some are as they were before; the line says which.
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
    """Note what lies at ``path`` before the command runs; frames below ``own``, the run's folder, are removed first.

    Files elsewhere are the user's, and so is what is no picture.
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
    """Another one after any writing or renaming, whatever times the writer sets."""
    state = file.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
