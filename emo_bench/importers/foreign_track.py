"""A track in the terms of the tracker that made it, as arrays."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.numbered_frames import frame_number
from emo_bench.untrusted.npy import read_npy
from emo_bench.untrusted.refusal import Unreadable, one_line, reading

MOST_LISTED = 1_000_000
MOST_TEXT_BYTES = 1 << 28
MOST = np.iinfo(np.int64).max


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

    def to_npz(self) -> bytes:
        """The content of a ``.npz`` file with the attributes by their names, as docs/import-a-track.md says."""
        arrays: dict[str, Any] = {
            "tracker": np.array(self.tracker),
            "frames": self.frames,
            "identity": self.identity,
            "expression": self.expression,
            "rotation": self.rotation,
            "translation": self.translation,
        }
        if self.intrinsics is not None:
            arrays["intrinsics"] = self.intrinsics
        if self.uv_files:
            arrays["uv_files"] = np.array([str(file.resolve()) for file in self.uv_files])
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        return content.getvalue()


def numbered_files(folder: Path, ending: str, what: str) -> list[tuple[int, Path]]:
    """The folder's files with that ending, by the last number in their names.

    Raises:
        UserError: there are none, or a name has no number, or two have the same.
    """
    files = sorted(folder.glob(f"*{ending}")) if folder.is_dir() else []
    if not files:
        raise UserError(f"{folder} holds no *{ending}: {what}")
    found: dict[int, Path] = {}
    for file in files:
        number = frame_number(file.stem)
        if number is None or number > MOST:
            raise UserError(f"{file} has no frame number in its name")
        if number in found:
            raise UserError(f"{file} and {found[number]} are of one frame")
        found[number] = file
    return sorted(found.items())


def read_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` or text file; nothing in it is executed.

    Raises:
        UserError: it cannot be read.
    """
    with reading(path, "file of numbers"):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return read_npy(file, path.stat().st_size)
        if path.stat().st_size > MOST_TEXT_BYTES:
            raise Unreadable(f"a text of more than {MOST_TEXT_BYTES:,} bytes")
        return np.loadtxt(path, ndmin=1)


def as_numbers(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """``value`` as float32 ``shape``; axes of one in front are dropped.

    Raises:
        UserError: it holds no real and finite numbers, or has another shape; the line begins with ``where``.
    """
    try:
        if isinstance(value, list | tuple):
            _check_list(value)
        found = np.asarray(value)
    # Ragged lists, and objects that only look like arrays.
    except Exception as error:
        raise UserError(f"{where} holds no array of numbers: {one_line(error)}") from error
    if found.dtype.kind not in "fiu":
        raise UserError(f"{where} holds no real numbers ({found.dtype})")
    while found.ndim > len(shape) and len(found) == 1:
        found = found[0]
    if found.shape != shape:
        has = f"{found.size} numbers" if found.ndim == 1 else f"shape {found.shape}"
        raise UserError(f"{where} has {has}, not the {' x '.join(map(str, shape))} that it should have")
    with np.errstate(over="ignore"):
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise UserError(f"{where} holds values that are not finite")
    return found


def read_rows(paths: Sequence[Path], width: int) -> np.ndarray:
    """One file of ``width`` numbers a frame: float32 ``[T, width]``.

    Raises:
        UserError: a file cannot be read, or holds something else.
    """
    return np.stack([as_numbers(read_array(path), (width,), str(path)) for path in paths])


def _check_list(value: Sequence[Any]) -> None:
    """Raise Unreadable for lists that numpy would unfold to something far larger, or for ever."""
    waiting, left = [(value, 0)], MOST_LISTED
    while waiting:
        part, level = waiting.pop()
        left -= len(part)
        if left < 0 or level > 3:
            raise Unreadable("lists in lists, too deep or too many")
        for item in part:
            if isinstance(item, list | tuple):
                waiting.append((item, level + 1))
            elif not isinstance(item, bool | int | float | np.number):
                raise Unreadable("a list of values that are not numbers")
