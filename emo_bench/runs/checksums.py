"""Checksums of each file that a stage of a run wrote, and of run.json itself. A changed file is never used silently.

They find accidents and careless changes. Somebody who computes the checksums anew is found only by
``emo-bench verify``, which scores and renders again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.files import file_sha256

SEAL = "manifest_sha256"
# Paths on somebody's machine: they may be removed before a run is published, see reports.results.
PRIVATE = ("method_place", "protocol_place")
# A file up to this size is checked whenever its run is read; a larger one when it is used, and by emo-bench verify.
CHECKED_BYTES = 8 * 2**20
# The preview is only shown: if it has changed, it is left out with a warning, and the scores are read.
SCORES, PREVIEW = "frames.parquet", "preview.mp4"
NO_CHECKSUMS = "no checksums on record"
MEND = "restore it from a copy, or give the run's emo-bench run command again"
MEND_MANIFEST = "restore it from a copy, or remove the folder and run again"
# Files of a run's folder that no stage writes: the manifest, logs, and what reports and drive leave there.
_OF_NO_STAGE = re.compile(r"run\.json|.*\.log|log\.txt|report\..*|lineup-.*|driven-by-.*|\..*")

Stamps = dict[str, tuple[int, int]]


def seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content, except for its own entry and :data:`PRIVATE`."""
    content = {key: value for key, value in manifest.items() if key not in (SEAL, *PRIVATE)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def require_seal(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check that the manifest at ``path`` is as it was written; one of a version without checksums passes.

    Raises:
        UserError: it has changed, or has lost its checksum.
    """
    # The versions without a checksum wrote no "other_files".
    if not manifest.get(SEAL) and any("other_files" in stage for stage in manifest["stages"].values()):
        raise UserError(f"{path} has lost its checksum {SEAL}: {MEND_MANIFEST}")
    if manifest.get(SEAL, "") and manifest[SEAL] != seal_of(manifest):
        raise UserError(f"{path} has changed since it was written: {MEND_MANIFEST}")


def recorded(manifest: Mapping[str, Any], *, others: bool = True) -> dict[str, str]:
    """Return the SHA-256 of each recorded file by its name; if two stages wrote it, the one of the later stage.

    Args:
        manifest: the content of run.json.
        others: also the files that no later stage and no score depends on, such as ``train.csv``.
    """
    stages = manifest["stages"]
    kinds = ("other_files", "files") if others else ("files",)
    finished = [stages[name] for name in ("fit", "render", "score") if stages.get(name, {}).get("finished_at")]
    return {name: sha256 for stage in finished for kind in kinds for name, sha256 in stage.get(kind, {}).items()}


def fit_files(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that the fit left and an avatar is opened from; pictures and tables are none."""
    fit = manifest["stages"].get("fit", {})
    names = [*fit.get("files", {}), *fit.get("other_files", {})]
    return [name for name in names if Path(name).suffix not in (".png", ".csv", ".json")]


def fitted_from(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the files of :func:`fit_files`: what an edit of this run is made from."""
    known = recorded(manifest)
    return {name: known[name] for name in fit_files(manifest)}


def other_base(edit: Mapping[str, Any], base: Mapping[str, Any]) -> str | None:
    """Say that an edit was made from another fit than the one that its run holds now, by their manifests; else None.

    An edit of an older version does not say what it was made from.
    """
    made_from = edit["stages"].get("fit", {}).get("inputs")
    if made_from is None or made_from == fitted_from(base):
        return None
    return "the run was fitted again since this edit was made from it"


def change_of(folder: Path, name: str, manifest: Mapping[str, Any]) -> str | None:
    """Say that a recorded file has changed, in one line with the remedy; None if not, or if there is no such file."""
    known = recorded(manifest).get(name)
    found = known and file_sha256(folder / name)
    return f"{folder / name} has changed since it was written: {MEND}" if found and found != known else None


def require_unchanged(folder: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check files before they are used, whatever their size. A missing one passes: its reader reports it.

    Raises:
        UserError: a file differs from its recorded SHA-256.
    """
    for name in names:
        change = change_of(folder, name, manifest)
        if change is not None:
            raise UserError(change)


def require_small_unchanged(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check the scores, and of the files that they come from those of at most ``CHECKED_BYTES``.

    Raises:
        UserError: a file differs from its recorded SHA-256.
    """
    names = [name for name in recorded(manifest, others=False) if name != PREVIEW]
    require_unchanged(folder, manifest, (name for name in names if name == SCORES or _is_small(folder / name)))


def missing_checksums(manifest: Mapping[str, Any]) -> str | None:
    """Return a note if changes of the run's scores or its run.json cannot be noticed; None if they can."""
    lacking = [] if manifest.get(SEAL) else ["run.json"]
    lacking += [] if SCORES in recorded(manifest) else [SCORES]
    if not lacking:
        return None
    return f"{NO_CHECKSUMS} for {' and '.join(lacking)} (older version): a change would not be noticed"


def stamps_of(folder: Path) -> Stamps:
    """Return time and size of each file in the folder itself that a stage may have written, by name."""
    found: Stamps = {}
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink() and _is_output(file.name):
            about = file.stat()
            found[file.name] = (about.st_mtime_ns, about.st_size)
    return found


def written_since(folder: Path, before: Stamps) -> list[str]:
    """Return the names of the files that are new or changed since :func:`stamps_of` gave ``before``, sorted."""
    return sorted(name for name, stamp in stamps_of(folder).items() if before.get(name) != stamp)


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= CHECKED_BYTES


def _is_output(name: str) -> bool:
    """Return whether a stage may have written a file of this name, and run.json can hold the name."""
    storable = name.isprintable() and "\\" not in name and len(name) <= 200
    return storable and not _OF_NO_STAGE.fullmatch(name)
