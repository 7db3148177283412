"""metrical-tracker: one ``checkpoint/NUMBER.frame`` a frame, written by ``torch.save``."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import ForeignTrack, numbered_files

FIELDS = (("flame", "exp"), ("flame", "shape"), ("opencv", "R"), ("opencv", "t"), ("opencv", "K"))


def read_metrical(folder: Path) -> ForeignTrack:
    """Read ``folder/checkpoint/*.frame`` (or the folder's own): FLAME coefficients and OpenCV cameras.

    Expression has 100 coefficients, identity 300; rotation, translation and intrinsics are ``opencv`` R, t and K.
    """
    place = folder / "checkpoint" if (folder / "checkpoint").is_dir() else folder
    files = numbered_files(place, ".frame", "metrical-tracker's output folder is needed")
    parts: dict[str, list[np.ndarray]] = {name: [] for _, name in FIELDS}
    for _, path in files:
        content = _load(path)
        for group, name in FIELDS:
            parts[name].append(_field(content, group, name, path))
    shapes = {"exp": (-1,), "shape": (-1,), "R": (3, 3), "t": (3,), "K": (3, 3)}
    arrays: dict[str, np.ndarray] = {}
    for name, values in parts.items():
        try:
            arrays[name] = np.stack([value.reshape(shapes[name]) for value in values])
        except ValueError as error:
            raise UserError(f"{place}: {name} has an unexpected shape ({error})") from error
    frames = np.array([number for number, _ in files])
    return ForeignTrack(
        "metrical-tracker", frames, arrays["shape"], arrays["exp"], arrays["R"], arrays["t"], arrays["K"]
    )


def _load(path: Path) -> Any:
    import torch
    from numpy.core.multiarray import _reconstruct  # type: ignore[attr-defined]

    allowed: list[Any] = [
        _reconstruct,
        np.ndarray,
        np.dtype,
        type(np.dtype("f4")),
        type(np.dtype("f8")),
        type(np.dtype("i8")),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _field(content: Any, group: str, name: str, path: Path) -> np.ndarray:
    try:
        value = np.asarray(content[group][name], dtype=np.float32)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} lacks the field {group}.{name}: is it of metrical-tracker?") from error
    if not np.isfinite(value).all():
        raise UserError(f"{path}: {group}.{name} holds values that are not finite")
    return value
