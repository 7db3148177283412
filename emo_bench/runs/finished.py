"""Finished runs, made here or received from somebody: find them, open them, check their scores against the manifest."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError
from emo_bench.methods.registry import TRIVIAL
from emo_bench.runs.checksums import require_small_unchanged
from emo_bench.runs.manifest import LARGEST, MANIFEST, STAGES, read_manifest, shown_capture
from emo_bench.runs.store import SCORES
from emo_bench.untrusted.regular_file import read_regular

if TYPE_CHECKING:
    import pandas

INDEX = "frame"
# Name of the folder that holds a run's edits.
EDITS = "edit"
# Largest allowed size of frames.parquet in bytes, on disk and unpacked.
LIMIT_BYTES = 2**29
# Entries of a manifest that many runs have in common.
SHARED = frozenset(
    ("machine", "records", "inputs", "config", "assets", "protocol", "split", "actor", "capture", "method")
)
AGAIN = "give its emo-bench run command again"

log = logging.getLogger("emo_bench")


@dataclass(frozen=True, eq=False, repr=False)
class FinishedRun:
    """A finished run: ``manifest`` is the content of run.json, ``scores`` has one row per held-out frame."""

    path: Path
    manifest: dict[str, Any]
    scores: pandas.DataFrame

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.path}', {len(self.scores)} frames, {', '.join(self.scores.columns)})"

    @property
    def means(self) -> dict[str, float]:
        """The score of the video by metric id: the mean over its frames for most metrics; NaN where there is none."""
        from emo_bench.metrics.aggregation import video_scores

        return video_scores(self.scores)

    @property
    def reasons(self) -> dict[str, str]:
        """Why the video has no score, by metric id, for the metrics whose score in :attr:`means` is NaN."""
        from emo_bench.metrics.aggregation import reasons

        return reasons(self.scores)

    @property
    def edits(self) -> dict[str, FinishedRun]:
        """Open the finished edits of the run; return them by the names of their folders.

        Raises:
            UserError: an edit is damaged.
        """
        folders = sorted(path.parent for path in (self.path / EDITS).glob(f"*/{MANIFEST}"))
        return {folder.name: load_run(folder) for folder in folders if is_finished(folder)}


@dataclass(frozen=True)
class OpenedRuns:
    """Runs by their state; ``damaged`` says for each damaged run what is wrong, in one line."""

    finished: tuple[FinishedRun, ...]
    unfinished: tuple[Path, ...]
    damaged: dict[Path, str]


def open_runs(folders: Sequence[Path]) -> OpenedRuns:
    """Open the finished runs among ``folders``; skip the damaged ones.

    Raises:
        UserError: no run is finished and undamaged; the message names the first damaged one.
    """
    known: dict[str, Any] = {}
    return sorted_out(folders, [try_open(folder, known) for folder in folders])


def sorted_out(folders: Sequence[Path], opened: Sequence[FinishedRun | str | None]) -> OpenedRuns:
    """Sort what :func:`try_open` returned for each of ``folders``, as :func:`open_runs` does; it raises the same."""
    each = list(zip(folders, opened, strict=True))
    finished = tuple(found for _, found in each if isinstance(found, FinishedRun))
    damaged = {folder: found for folder, found in each if isinstance(found, str)}
    if not finished and damaged:
        more = f" ({len(damaged) - 1} more runs are damaged)" if len(damaged) > 1 else ""
        raise UserError(f"{next(iter(damaged.values()))}{more}")
    if not finished:
        raise _none_finished(folders)
    return OpenedRuns(finished, tuple(folder for folder, found in each if found is None), damaged)


def try_open(folder: Path, known: dict[str, Any]) -> FinishedRun | str | None:
    """Open a run; return None if it is unfinished, and one line that says what is wrong if it is damaged.

    Args:
        folder: the run's folder.
        known: see :func:`with_shared`.
    """
    try:
        manifest = read_manifest(folder)
        return _opened(folder, with_shared(manifest, known)) if _finished(manifest) else None
    except UserError as error:
        return str(error)


def with_shared(manifest: dict[str, Any], known: dict[str, Any], seen: dict[int, Any] | None = None) -> dict[str, Any]:
    """Replace the entries that equal those of an earlier run by the same objects, or 10,000 runs need 1 GiB.

    Args:
        manifest: it is changed and returned.
        known: the entries of the earlier runs, by their text; gets the new ones.
        seen: what has replaced an object, by its ``id``; for manifests that have objects in common.
    """
    seen = {} if seen is None else seen
    holders = (manifest, manifest["identity"], manifest.get("described", {}), *manifest["stages"].values())
    for holder in holders:
        for name in SHARED.intersection(holder):
            value = holder[name]
            if id(value) not in seen:
                seen[id(value)] = known.setdefault(repr(value), value)
            holder[name] = seen[id(value)]
    return manifest


def load_run(path: Path) -> FinishedRun:
    """Open a finished run.

    Its ``run.json``, its scores and its other small files are compared with their checksums, see
    :mod:`emo_bench.runs.checksums`.

    Raises:
        UserError: there is no run, it is unfinished or damaged, a file has changed since it was written, or its scores
            do not belong to its frames.
    """
    manifest = read_manifest(path)
    if not _finished(manifest):
        raise UserError(f"{path} is not finished: {AGAIN}")
    return _opened(path, manifest)


def _opened(path: Path, manifest: dict[str, Any]) -> FinishedRun:
    require_small_unchanged(path, manifest)
    return FinishedRun(path, manifest, read_scores(path, manifest))


def is_finished(path: Path) -> bool:
    """Return whether every stage of the run in this folder is finished.

    Raises:
        UserError: there is no run, or it is damaged.
    """
    return _finished(read_manifest(path))


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Return the folders of runs at or below the given paths, sorted, without duplicates.

    Raises:
        UserError: a path does not exist or holds no run.
    """
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such folder; make a run with: emo-bench run")
        below = {manifest.parent for manifest in path.rglob(MANIFEST)}
        if not below:
            raise UserError(f"{path} holds no run; make a run with: emo-bench run")
        found |= below
    return sorted(found)


def newest_finished(paths: Iterable[Path]) -> Path:
    """Return the folder of the run at or below ``paths`` that was finished last.

    An edit belongs to its run and is not a run of its own here. A run of a trivial method is taken only if no other
    method is finished, and nearest-frame is preferred to mean-frame, because both run beside every method. A damaged
    run is skipped with a warning.

    Raises:
        UserError: a path does not exist, or no run there is finished.
    """
    paths = list(paths)
    folders = set(find_runs(paths))
    finished: list[tuple[int, str, Path]] = []
    for folder in sorted(folders):
        if not folders.isdisjoint(folder.parents):
            continue
        try:
            manifest = read_manifest(folder)
        except UserError as error:
            log.warning("left out: %s", error)
            continue
        if _finished(manifest):
            method = manifest["identity"]["method"]
            rank = TRIVIAL.index(method) if method in TRIVIAL else len(TRIVIAL)
            finished.append((rank, manifest["stages"][STAGES[-1]]["finished_at"], folder))
    if not finished:
        raise _none_finished(paths)
    return max(finished)[-1]


def _none_finished(folders: Sequence[Path]) -> UserError:
    where = f"{folders[0]} and {len(folders) - 1} more folders" if len(folders) > 3 else ", ".join(map(str, folders))
    return UserError(f"no run in {where} is finished: repeat the emo-bench run command that started one")


def read_scores(folder: Path, manifest: dict[str, Any]) -> pandas.DataFrame:
    """Return the scores of a run: float64, indexed by frame, one column per metric in the manifest's records.

    Raises:
        UserError: the scores are missing or damaged, or do not belong to the manifest.
    """
    path = folder / SCORES
    try:
        return _table(read_regular(path, LIMIT_BYTES), manifest)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {AGAIN}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {AGAIN}") from error
    except (UserError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): {AGAIN}") from error


def _table(content: bytes, manifest: dict[str, Any]) -> pandas.DataFrame:
    """Read the table of a Parquet file; ValueError if it is not one or does not fit the manifest."""
    import pyarrow
    from pyarrow import parquet

    stages, captured = manifest["stages"], shown_capture(manifest)["frames"]
    names, frames = list(stages["score"]["records"]), stages["render"]["frames"]
    try:
        # pyarrow must not start threads: a thread that is still alive when the process ends aborts the process.
        file = parquet.ParquetFile(pyarrow.BufferReader(content), pre_buffer=False)
        # This check comes before anything is unpacked: a file of one kilobyte can claim to hold a billion rows.
        if file.metadata.num_rows != frames:
            raise ValueError(f"{file.metadata.num_rows} rows for {frames} frames")
        table = file.read(columns=[INDEX, *names], use_threads=False)
        missing = {INDEX, *names} - set(table.column_names)
        if missing:
            raise ValueError(f"no column {sorted(missing)[0]!r}")
        said = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
        numbers = table.column(INDEX).cast(pyarrow.int64()).to_numpy()
        columns = [table.column(name).cast(pyarrow.float64()).to_numpy() for name in names]
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if numbers.dtype != np.int64 or not _ascending(numbers, captured):
        raise ValueError(f"its frame numbers do not ascend, or the video of {captured} frames does not have them")
    values = np.stack(columns)
    if (np.isfinite(values) & (np.abs(values) > LARGEST)).any():
        raise ValueError("it has numbers that cannot be scores")
    rendered = stages["render"]["frames_sha256"]
    if isinstance(said, dict) and said.get("frames_sha256", rendered) != rendered:
        raise ValueError("its scores belong to other frames than the rendered ones")
    return score_table(values, numbers.tobytes(), stages["score"]["records"])


def score_table(values: NDArray[np.float64], numbers: bytes, records: dict[str, Any]) -> pandas.DataFrame:
    """Return the table of a run's scores.

    Args:
        values: ``[M, N]``, a row for each metric; not copied.
        numbers: the numbers of the N frames, int64.
        records: the M metrics' records by id.
    """
    import pandas

    # One array for all columns: pandas needs a tenth of the time and of the memory of an array for each.
    scores = pandas.DataFrame(values.T, index=_frame_numbers(numbers), columns=_columns(tuple(records)), copy=False)
    scores.attrs["records"] = records
    return scores


@lru_cache(maxsize=256)
def _columns(names: tuple[str, ...]) -> pandas.Index:
    import pandas

    return pandas.Index(names)


@lru_cache(maxsize=256)
def _frame_numbers(numbers: bytes) -> pandas.Index[Any]:
    """Return the index of a table; runs on the same frames share it."""
    import pandas

    return pandas.Index(np.frombuffer(numbers, np.int64), name=INDEX)


def _ascending(numbers: NDArray[np.int64], below: int) -> bool:
    return bool((np.diff(numbers) > 0).all() and numbers[0] >= 0 and numbers[-1] < below)


def _finished(manifest: dict[str, Any]) -> bool:
    stages = manifest["stages"]
    return all(stages.get(stage, {}).get("finished_at") for stage in STAGES)
