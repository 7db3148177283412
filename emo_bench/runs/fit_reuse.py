"""A fit that another run has made on the same frames is copied: avatars with several drivers are fitted once."""

from __future__ import annotations

import glob
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import file_sha256, replacing
from emo_bench.runs.manifest import MANIFEST, read_manifest
from emo_bench.runs.store import RunFolder

# What a fit depends on, in the identity of a run; the training frames are compared too.
SAME = (
    "actor", "method", "profile", "seed", "settings", "resolution_px", "config", "assets", "method_file_sha256",
)  # fmt: skip
COST = ("frames", "seconds", "memory_mib", "gpu_memory_mib", "machine", "time_limit")

log = logging.getLogger("emo_bench")


def places_of_fits(folder: Path, runs_dir: Path, actor: str) -> tuple[Path, ...]:
    """Return the folders of runs below ``runs_dir`` that may hold the fit of the run in ``folder``, sorted."""
    tail = [glob.escape(part) for part in folder.parts[-2:]]
    found: set[Path] = set()
    for between in ((), ("by-*",)):
        found.update(runs_dir.glob("/".join(("*", glob.escape(actor), *between, *tail, MANIFEST))))
    return tuple(sorted(path.parent for path in found if path.parent != folder))


def take_fit(folder: RunFolder, places: Iterable[Path], names: Sequence[str]) -> Path | None:
    """Copy the files of the same fit from the first place that holds it, and store that the fit is finished.

    Its cost in the manifest is that of the fit, and ``copied_from`` says where it was made.

    Args:
        folder: the run without its fit.
        places: folders of other runs.
        names: the files of the fit; without any, nothing can be copied.

    Returns:
        The folder of the other run; None if no run has this fit, finished and undamaged.
    """
    for place in places if names else ():
        try:
            manifest = read_manifest(place)
        except UserError:
            continue
        fit = manifest["stages"].get("fit", {})
        if (
            not fit.get("finished_at")
            or not _is_same(folder.manifest, manifest)
            or not _copied(folder, place, fit, names)
        ):
            continue
        folder.start("fit")
        folder.note(described=manifest.get("described", {}))
        cost = {name: fit[name] for name in COST if name in fit}
        folder.finish("fit", None, names, **cost, copied_from=place.as_posix())
        log.info("fit: copied from %s, which was fitted on the same frames", place)
        return place
    return None


def _is_same(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    one, other = mine["identity"], theirs["identity"]
    same = all(one.get(name) == other.get(name) for name in SAME)
    return same and mine["split"]["train"] == theirs["split"]["train"] and "style" not in other


def _copied(folder: RunFolder, place: Path, fit: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Copy the files of a fit; return whether each is there and has its recorded SHA-256."""
    known = fit.get("files", {})
    if any(name not in known or file_sha256(place / name) != known[name] for name in names):
        return False
    for name in names:
        with replacing(folder.path / name) as temporary:
            shutil.copyfile(place / name, temporary)
    return all(file_sha256(folder.path / name) == known[name] for name in names)
