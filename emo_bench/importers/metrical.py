"""metrical-tracker: one ``checkpoint/NUMBER.frame`` a frame, written by ``torch.save``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import ForeignTrack, as_numbers, numbered_files

FIELDS = {
    ("flame", "shape"): (300,),
    ("flame", "exp"): (100,),
    ("opencv", "R"): (3, 3),
    ("opencv", "t"): (3,),
    ("opencv", "K"): (3, 3),
}


def read_metrical(folder: Path) -> ForeignTrack:
    """Read ``folder/checkpoint/*.frame`` (or the folder's own): FLAME coefficients and OpenCV cameras.

    Expression has 100 coefficients, identity 300; rotation, translation and intrinsics are ``opencv`` R, t and K.
    """
    place = folder / "checkpoint" if (folder / "checkpoint").is_dir() else folder
    files = numbered_files(place, ".frame", "metrical-tracker's output folder is needed")
    rows = []
    for _, path in files:
        content = _load(path)
        rows.append([_field(content, group, name, path) for group, name in FIELDS])
    shape, expression, rotation, translation, intrinsics = (
        np.stack(part) for part in zip(*rows, strict=True)
    )
    frames = np.array([number for number, _ in files])
    return ForeignTrack("metrical-tracker", frames, shape, expression, rotation, translation, intrinsics)


def _load(path: Path) -> Any:
    from emo_bench.untrusted.torch_archive import read_torch

    return read_torch(path, "file of metrical-tracker")


def _field(content: Any, group: str, name: str, path: Path) -> np.ndarray:
    import torch

    fields = content.get(group) if isinstance(content, dict) else None
    if not isinstance(fields, dict) or name not in fields:
        raise UserError(f"{path} lacks the field {group}.{name}: is it of metrical-tracker?")
    value = fields[name]
    if isinstance(value, torch.Tensor):
        value = value.detach()
        value = value.float() if value.dtype == torch.bfloat16 else value
    return as_numbers(value, FIELDS[group, name], f"{path}: {group}.{name}")
