"""Read the arrays of a ``track.npz``: types, shapes and their agreement are checked before a track is constructed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_bench.errors import UserError
from emo_bench.untrusted.npy import read_npz
from emo_bench.untrusted.refusal import Unreadable, reading, shown

VERSION = 1
REMEDY = "; add the video again"
MOST_PX, MOST_FOREGROUND_PX = 16384, 4096
# Limit for metres and radians of a person in front of a camera; a larger value is damaged.
LARGEST = 1e4


@dataclass(frozen=True)
class Field:
    """The format of an array: numpy's kinds, the axes (-1: frames, None: any length), bytes of an element or None."""

    kinds: str
    shape: tuple[int | None, ...]
    itemsize: int | None = None


VALUES = Field("f", (-1, 3))
FIELDS: Mapping[str, Field] = {
    "face_found": Field("b", (-1,)),
    "rest_vertices": Field("f", (None, 3)),
    "joints": Field("f", (2, 3)),
    "expression": Field("f", (-1, 52)),
    "body_rotvec": VALUES,
    "body_translation": VALUES,
    "neck_rotvec": VALUES,
    "head_rotvec": VALUES,
    "torso_shift": VALUES,
    "camera": Field("f", (3,)),
    "size_px": Field("iu", ()),
    "landmark_steps": Field("i", (-1, 478, 2), itemsize=2),
    "foreground_changes": Field("u", (-1, None), itemsize=1),
    "foreground_px": Field("iu", ()),
    "foreground_shares": Field("u", (-1, None), itemsize=1),
}
# Absent in tracks from versions without separate shoulder motion or soft masks, and in those of the studio.
OPTIONAL = frozenset({"torso_shift", "foreground_shares"})


def read_track_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a track by the names of ``FIELDS``; per-frame values are finite where a face was found.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """
    arrays = dict(read_npz(path, ["version", *FIELDS], "track", REMEDY))
    version = arrays.pop("version", None)
    if version is None or version.shape != () or version.dtype.kind not in "iu" or int(version) != VERSION:
        raise UserError(f"{path} is of another version of emo-bench{REMEDY}")
    with reading(path, "track", REMEDY):
        _check(arrays)
    return arrays


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    for name in FIELDS:
        if name not in arrays and name not in OPTIONAL:
            raise Unreadable(f"it lacks the array {name}")
    found = arrays["face_found"]
    if found.dtype != np.bool_ or found.ndim != 1 or not len(found):
        raise Unreadable("face_found is not a list of true and false")
    for name, array in arrays.items():
        field = FIELDS[name]
        if array.dtype.kind not in field.kinds or field.itemsize not in (None, array.dtype.itemsize):
            raise Unreadable(f"{name} is of the type {array.dtype}")
        expected = tuple(len(found) if axis == -1 else axis for axis in field.shape) if found.ndim == 1 else ()
        if array.ndim != len(field.shape) or any(
            want not in (None, have) for want, have in zip(expected, array.shape, strict=True)
        ):
            raise Unreadable(f"{name} has the shape {array.shape}")
        if array.dtype.kind == "f":
            checked = array[found] if field.shape[0] == -1 else array
            if not (np.abs(checked) <= LARGEST).all():
                raise Unreadable(f"{name} holds values that are not finite or far too large")
    for name, most in (("size_px", MOST_PX), ("foreground_px", MOST_FOREGROUND_PX)):
        if not 1 <= int(arrays[name]) <= most:
            raise Unreadable(f"{name} is {shown(int(arrays[name]))}")
    if arrays["foreground_changes"].shape[1] != (int(arrays["foreground_px"]) ** 2 + 7) // 8:
        raise Unreadable("foreground_changes does not hold masks of foreground_px")
    soft = arrays.get("foreground_shares")
    if soft is not None and soft.shape[1] != (int(arrays["foreground_px"]) ** 2 + 1) // 2:
        raise Unreadable("foreground_shares does not hold masks of foreground_px")
    if arrays["camera"][0] <= 0 or np.abs(arrays["camera"]).max() > 100 * MOST_PX:
        raise Unreadable("its camera has an impossible focal length or centre")
