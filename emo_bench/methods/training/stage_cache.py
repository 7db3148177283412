"""A cache of the results of training stages, which the runs of one study share.

An ablation gives its runs a common folder, ``workspace.cache``. A stage's result is found there by a key of everything
that it depends on, so the runs end with the same result with and without the cache. Any number of processes may fill
the folder at the same time; a process waits for a stage that another one computes. The folder holds
``<stage>-<key>.json``, which names the files of a result, and each file under its own SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from emo_bench import __version__
from emo_bench.errors import UserError, one_line
from emo_bench.files import file_sha256, open_in_place, try_lock, write_json
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.stage_clock import read_seconds, write_seconds
from emo_bench.methods.training.state_file import link_file
from emo_bench.untrusted.regular_file import read_regular

# A file beside the other files of a fit: which of its stages came from the cache, and which run had computed them.
RECORD = "shared_stages.json"
LIMIT_BYTES = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Time between two looks whether another process has finished a stage.
WAIT_POLL_S = 0.2

log = logging.getLogger("emo_bench")

# Locks of the stages that this process computes; the system releases them if the process dies.
_claimed: dict[Path, IO[Any]] = {}


@dataclass(frozen=True)
class _Entry:
    """A stored result: SHA-256 by file name, the stage's seconds, and the run that computed it."""

    files: Mapping[str, str]
    seconds: float
    made_by: str


def take_stage(workspace: Workspace, stage: str, inputs: Mapping[str, object], names: Sequence[str]) -> bool:
    """Copy the files of a finished stage into ``workspace.folder``, if the cache holds them.

    If another process computes the stage, this one waits until it has called :func:`keep_stage`, or has died.

    The stage's seconds also count for this fit, in ``stage_seconds.json``.

    Args:
        workspace: the workspace of the fit. Without ``workspace.cache`` nothing is copied.
        stage: the stage's name, e.g. ``"init"``.
        inputs: plain JSON: everything that the result depends on besides the version of emo-bench and of torch, the
            seed and the device. At least the method's name, the settings that the stage reads, the SHA-256 of its
            weights, ``capture.sha256`` and the training frames.
        names: the files that the stage writes into ``workspace.folder``.

    Returns:
        Whether the stage is done now. If the stored result is damaged, this is logged and the return value is False.

    Example::

        inputs = {"method": "mine", "capture": capture.sha256, "train": list(train), "steps": config.init_steps}
        if not take_stage(workspace, "init", inputs, ["init.pt"]):
            ...  # do the stage, and write init.pt
            keep_stage(workspace, "init", inputs, ["init.pt"])
    """
    if workspace.cache is None:
        return False
    index = _index(workspace, stage, inputs)
    entry = _sound_entry(workspace.cache, index, names)
    if entry is None and _claim(index, stage):
        # Another process may have finished the stage meanwhile.
        entry = _sound_entry(workspace.cache, index, names)
    if entry is None:
        return False
    _release(index)
    for name in names:
        link_file(_stored(workspace.cache, name, entry.files[name]), workspace.folder / name)
    write_seconds(workspace.folder, {**read_seconds(workspace.folder), stage: entry.seconds})
    write_json(workspace.folder / RECORD, {**stages_taken(workspace.folder), stage: entry.made_by})
    log.info("fit: stage %s comes from the study's cache; %s did it", stage, entry.made_by)
    return True


def keep_stage(workspace: Workspace, stage: str, inputs: Mapping[str, object], names: Sequence[str]) -> None:
    """Store the files of a finished stage in the cache, with its seconds from ``stage_seconds.json``.

    The arguments are those of :func:`take_stage`. Nothing happens without ``workspace.cache``, or if the result is
    stored already. If the cache cannot be written, this is logged: the stage itself is done.

    Raises:
        FileNotFoundError: the stage did not write one of the files.
    """
    if workspace.cache is None:
        return
    index = _index(workspace, stage, inputs)
    try:
        _store(workspace, workspace.cache, index, stage, names)
    finally:
        _release(index)


def _store(workspace: Workspace, cache: Path, index: Path, stage: str, names: Sequence[str]) -> None:
    if _sound_entry(cache, index, names) is not None:
        return
    files: dict[str, str] = {}
    for name in names:
        sha256 = file_sha256(workspace.folder / name)
        if sha256 is None:
            raise FileNotFoundError(f"{workspace.folder / name} is missing: stage {stage} did not leave it")
        files[name] = sha256
    seconds = read_seconds(workspace.folder).get(stage, 0.0)
    made_by = _told(workspace.folder, cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for name, sha256 in files.items():
            link_file(workspace.folder / name, _stored(cache, name, sha256))
        # The index is written last: if it exists, its files exist.
        write_json(index, {"stage": stage, "files": files, "seconds": seconds, "made_by": made_by})
    except OSError as error:
        log.warning("stage %s is not stored in %s (%s)", stage, cache, one_line(str(error))[:200])


def _claim(index: Path, stage: str) -> bool:
    """Claim a stage for this process, and wait for another one that computes it; False if it was claimed before.

    If the cache cannot be written, nothing is claimed: the stage is computed and not stored.
    """
    if index in _claimed:
        return False
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        lock = open_in_place(index.with_suffix(".lock"), "ab")
    except OSError:
        return False
    waited = False
    while not try_lock(lock):
        if not waited:
            log.info("fit: waiting for another run that does stage %s", stage)
        waited = True
        time.sleep(WAIT_POLL_S)
    _claimed[index] = lock
    return True


def _release(index: Path) -> None:
    lock = _claimed.pop(index, None)
    if lock is not None:
        lock.close()


def stages_taken(folder: Path) -> dict[str, str]:
    """Return the stages of a fit that came from a cache, each with the run that computed it."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        return {str(stage): str(run) for stage, run in json.loads(read_regular(path, LIMIT_BYTES)).items()}
    except (ValueError, AttributeError, OSError, RecursionError, UserError) as error:
        log.warning("%s is damaged (%s): it is ignored", path, one_line(str(error))[:200])
        return {}


def _index(workspace: Workspace, stage: str, inputs: Mapping[str, object]) -> Path:
    about = {
        "version": __version__,
        "torch": torch.__version__,
        "seed": workspace.seed,
        "device": workspace.device,
        "stage": stage,
        "inputs": inputs,
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert workspace.cache is not None
    return workspace.cache / f"{stage}-{key}.json"


def _stored(cache: Path, name: str, sha256: str) -> Path:
    return cache / f"{sha256}{Path(name).suffix}"


def _sound_entry(cache: Path, index: Path, names: Sequence[str]) -> _Entry | None:
    """Return the entry that ``index`` describes, if all its files are there and unchanged."""
    if not index.exists():
        return None
    try:
        entry = _entry(json.loads(read_regular(index, LIMIT_BYTES)), names)
    except (ValueError, TypeError, KeyError, OSError, RecursionError, UserError) as error:
        log.warning("%s is damaged (%s): the stage is done again", index, one_line(str(error))[:200])
        return None
    for name in names:
        path = _stored(cache, name, entry.files[name])
        if file_sha256(path) != entry.files[name]:
            log.warning("%s is missing or damaged: the stage is done again", path)
            return None
    return entry


def _entry(content: Any, names: Sequence[str]) -> _Entry:
    files = {name: str(content["files"][name]) for name in names}
    if not all(_SHA256.fullmatch(sha256) for sha256 in files.values()):
        raise ValueError("it names a file by something else than its SHA-256")
    seconds = float(content["seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(f"its seconds are {seconds}")
    return _Entry(files, seconds, one_line(str(content["made_by"]))[:200])


def _told(folder: Path, cache: Path) -> str:
    """Return the run's path relative to the last folder that it shares with the cache."""
    folder, cache = folder.absolute(), cache.absolute()
    return folder.relative_to(os.path.commonpath((folder, cache))).as_posix()
