"""A track in the terms of the tracker that made it, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_bench.errors import UserError


@dataclass(frozen=True, eq=False)
class ForeignTrack:
    """Coefficients of T frames; the basis that they belong to is the tracker's and not here.

    Attributes:
        tracker: a name of ``importers.FORMATS``.
        frames: ``[T]`` int64, ascending numbers of the frames in the tracker's video.
        identity: ``[T, I]`` float32 shape coefficients.
        expression: ``[T, E]`` float32.
        rotation: ``[T, 3]`` float32 angles in radians in the tracker's own order, or ``[T, 3, 3]`` matrices.
        translation: ``[T, 3]`` float32 in the tracker's units.
        intrinsics: ``[T, 3, 3]`` float32 camera matrices in pixels, or None where the tracker's camera is fixed.
        uv_files: the tracker's UV maps of the frames, or empty.
    """

    tracker: str
    frames: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    intrinsics: np.ndarray | None = None
    uv_files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)


def numbered_files(folder: Path, ending: str, what: str) -> list[tuple[int, Path]]:
    """The folder's files with that ending, by the number in their names.

    Raises:
        UserError: there are none, or a name has no number, or two have the same.
    """
    files = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no *{ending}: {what}")
    found: dict[int, Path] = {}
    for file in files:
        digits = "".join(c for c in file.stem if c.isdecimal())
        if not digits:
            raise UserError(f"{file} has no frame number in its name")
        if int(digits) in found:
            raise UserError(f"{file} and {found[int(digits)]} are of one frame")
        found[int(digits)] = file
    return sorted(found.items())


def read_array(path: Path) -> np.ndarray:
    """A ``.npy`` or text file of numbers, flat float32; nothing in it is executed.

    Raises:
        UserError: it cannot be read, or holds values that are not finite.
    """
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
        flat = np.asarray(values, dtype=np.float32).reshape(-1)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{path} cannot be read as numbers: {error}") from error
    if not np.isfinite(flat).all():
        raise UserError(f"{path} holds values that are not finite")
    return flat


def stacked(rows: Sequence[np.ndarray], width: int, paths: Sequence[Path], what: str) -> np.ndarray:
    """``[T, width]``; a UserError names the file that has another length."""
    for row, path in zip(rows, paths, strict=True):
        if len(row) != width:
            raise UserError(f"{path} has {len(row)} numbers, not the {width} of {what}")
    return np.stack(rows)
