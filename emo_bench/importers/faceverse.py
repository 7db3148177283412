"""FaceVerse v3 (490 coefficients a frame) and v4 (621): identity, expression, texture, angles, light, place, eyes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_bench.errors import UserError
from emo_bench.importers.foreign_track import ForeignTrack, as_numbers, numbered_files, read_rows
from emo_bench.importers.safe_pickle import load_plain

TEXTURE, ANGLES, LIGHT, PLACE, EYES = 251, 3, 27, 3, 4


@dataclass(frozen=True)
class _Version:
    name: str
    identity: int
    expression: int

    @property
    def width(self) -> int:
        return self.identity + self.expression + TEXTURE + ANGLES + LIGHT + PLACE + EYES


V3 = _Version("faceverse-v3", 150, 52)
V4 = _Version("faceverse-v4", 156, 177)


def read_v3(folder: Path) -> ForeignTrack:
    """Read ``coeffs/NUMBER.npy`` (or the folder's own ``*.npy``), 490 numbers each, and ``uv/*.png`` if there.

    What ``--save_for_styleavatar`` writes has coefficients of the first frame only, which is said.
    """
    if not (folder / "coeffs").is_dir() and not list(folder.glob("*.npy")) and (folder / "exp.txt").is_file():
        raise UserError(
            f"{folder} has exp.txt of its first frame only (--save_for_styleavatar): save each frame's "
            "coefficients as coeffs/NUMBER.npy too"
        )
    place = folder / "coeffs" if (folder / "coeffs").is_dir() else folder
    files = numbered_files(place, ".npy", "one file of 490 FaceVerse v3 coefficients a frame is needed")
    table = read_rows([path for _, path in files], V3.width)
    uv = folder / "uv"
    uv_files = numbered_files(uv, ".png", "UV maps") if uv.is_dir() else []
    if uv_files and [n for n, _ in uv_files] != [n for n, _ in files]:
        raise UserError(f"{uv} has maps of other frames than {place}")
    return _track(V3, table, files, tuple(path for _, path in uv_files))


def read_v4(folder: Path) -> ForeignTrack:
    """Read ``*.npy`` of ``run.py --save_results``: a dictionary with ``coeffs`` (621 numbers) and ``bbox_list``."""
    files = numbered_files(folder, ".npy", "run FaceVerse v4 with --save_results True")
    rows = []
    for _, path in files:
        content = load_plain(path)
        if not isinstance(content, dict) or "coeffs" not in content:
            raise UserError(f"{path} lacks the field coeffs: is it of FaceVerse v4 with --save_results True?")
        rows.append(as_numbers(content["coeffs"], (V4.width,), f"{path}: coeffs"))
    return _track(V4, np.stack(rows), files, ())


def _track(
    version: _Version, table: np.ndarray, files: list[tuple[int, Path]], uv_files: tuple[Path, ...]
) -> ForeignTrack:
    widths = (version.identity, version.expression, TEXTURE, ANGLES, LIGHT, PLACE, EYES)
    identity, expression, _, angles, _, place, _ = np.split(table, np.cumsum(widths)[:-1], axis=1)
    frames = np.array([number for number, _ in files])
    return ForeignTrack(version.name, frames, identity, expression, angles, place, uv_files=uv_files)
