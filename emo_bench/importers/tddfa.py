"""3DDFA_V2: 62 parameters a frame, 12 of an affine camera, 40 of shape, 10 of expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import ForeignTrack, numbered_files, read_array, stacked

CAMERA, SHAPE, EXPRESSION = 12, 40, 10
WIDTH = CAMERA + SHAPE + EXPRESSION


def read_tddfa(path: Path) -> ForeignTrack:
    """Read a ``[T, 62]`` ``.npy``, or a folder of ``NUMBER.npy`` with 62 numbers each, both as ``TDDFA`` returns them.

    The rotation is the affine camera's two scaled rows made orthonormal, the translation its last column.
    """
    if path.is_dir():
        files = numbered_files(path, ".npy", "one file of 62 parameters a frame is needed")
        table = stacked([read_array(file) for _, file in files], WIDTH, [f for _, f in files], "3DDFA_V2")
        frames = np.array([number for number, _ in files])
    else:
        flat = read_array(path)
        if len(flat) % WIDTH:
            raise UserError(f"{path} has {len(flat)} numbers, which is no multiple of the 62 of 3DDFA_V2")
        table = flat.reshape(-1, WIDTH)
        frames = np.arange(len(table))
    camera = table[:, :CAMERA].reshape(-1, 3, 4)
    first, second = camera[:, 0, :3], camera[:, 1, :3]
    lengths = [np.linalg.norm(row, axis=1, keepdims=True) for row in (first, second)]
    if min(length.min() for length in lengths) < 1e-12:
        raise UserError(f"{path}: a frame's camera has no direction: are these 3DDFA_V2 parameters?")
    x, y = first / lengths[0], second / lengths[1]
    rotation = np.stack([x, y, np.cross(x, y)], axis=1)
    identity, expression = table[:, CAMERA : CAMERA + SHAPE], table[:, CAMERA + SHAPE :]
    return ForeignTrack("3ddfa-v2", frames, identity, expression, rotation, camera[:, :, 3])
