"""3DDFA_V2: 62 parameters a frame, 12 of an affine camera, 40 of shape, 10 of expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import ForeignTrack, as_numbers, numbered_files, read_array, read_rows

CAMERA, SHAPE, EXPRESSION = 12, 40, 10
WIDTH = CAMERA + SHAPE + EXPRESSION


def read_tddfa(path: Path) -> ForeignTrack:
    """Read a ``[T, 62]`` ``.npy``, or a folder of ``NUMBER.npy`` with 62 numbers each, both as ``TDDFA`` returns them.

    The rotation is the one nearest to the affine camera's two scaled rows, the translation its last column.
    """
    if path.is_dir():
        files = numbered_files(path, ".npy", "one file of 62 parameters a frame is needed")
        table = read_rows([file for _, file in files], WIDTH)
        frames = np.array([number for number, _ in files])
    else:
        table = _table(path)
        frames = np.arange(len(table))
    camera = table[:, :CAMERA].reshape(-1, 3, 4)
    rotation = _rotations(camera[:, :2, :3], frames, path)
    identity, expression = table[:, CAMERA : CAMERA + SHAPE], table[:, CAMERA + SHAPE :]
    return ForeignTrack("3ddfa-v2", frames, identity, expression, rotation, camera[:, :, 3])


def _table(path: Path) -> np.ndarray:
    """``[T, 62]``; 62 numbers alone are one frame."""
    values = read_array(path)
    rows = values[None] if values.shape == (WIDTH,) else values
    if rows.ndim != 2 or rows.shape[1] != WIDTH or not len(rows):
        raise UserError(f"{path} has shape {values.shape}, not the [frames, {WIDTH}] of 3DDFA_V2")
    return as_numbers(rows, rows.shape, str(path))


def _rotations(rows: np.ndarray, frames: np.ndarray, path: Path) -> np.ndarray:
    """``[T, 3, 3]``: rotations whose first two rows, times a scale, are nearest to ``rows`` ``[T, 2, 3]``."""
    left, stretch, right = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    flat = (stretch[:, 0] < 1e-12) | (stretch[:, 1] < 1e-6 * stretch[:, 0])
    if flat.any():
        raise UserError(
            f"{path}: the camera of frame {frames[flat.argmax()]} has no direction: are these 3DDFA_V2 parameters?"
        )
    first_two = left @ right
    third = np.cross(first_two[:, 0], first_two[:, 1])
    return np.concatenate([first_two, third[:, None]], axis=1).astype(np.float32)
