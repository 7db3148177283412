"""Tracks made elsewhere: FaceVerse v3 and v4, metrical-tracker, 3DDFA_V2, read into one set of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emo_bench.errors import UserError

if TYPE_CHECKING:
    from emo_bench.importers.foreign_track import ForeignTrack

FORMATS = {
    "faceverse-v3": "emo_bench.importers.faceverse:read_v3",
    "faceverse-v4": "emo_bench.importers.faceverse:read_v4",
    "metrical-tracker": "emo_bench.importers.metrical:read_metrical",
    "3ddfa-v2": "emo_bench.importers.tddfa:read_tddfa",
}


def import_track(kind: str, path: Path | str) -> ForeignTrack:
    """Read a tracker's output.

    Args:
        kind: one of :data:`FORMATS`.
        path: as docs/import-a-track.md says.

    Raises:
        UserError: there is no such format, or its files are missing, of another shape, or lack a field.
    """
    from importlib import import_module

    if kind not in FORMATS:
        raise UserError(f"there is no track format {kind!r} (known: {', '.join(FORMATS)})")
    module, _, function = FORMATS[kind].partition(":")
    track: ForeignTrack = getattr(import_module(module), function)(Path(path))
    return track
