"""Run folders: their paths, their identity, and their finished stages. Each file is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from emo_bench.errors import MethodError, UserError
from emo_bench.files import file_sha256, open_in_place, remove_left_over, try_lock
from emo_bench.runs.checksums import recorded
from emo_bench.runs.manifest import FORMAT, MANIFEST, STAGES, Manifest, problem, read_manifest, write_manifest
from emo_bench.untrusted.plain_json import plain

SCORES, RENDER, PREVIEW, LOG = "frames.parquet", "render.mkv", "preview.mp4", "log.txt"
LOCK = ".lock"
WAIT_POLL_S = 0.2
_SIGNATURE = re.compile(r"(?P<process>\d{1,10}) (?P<host>[\w.-]{1,255})\n")
VARIANT_LENGTH = 60

log = logging.getLogger("emo_bench")


@dataclass(frozen=True)
class RunPlace:
    """The place of a run: ``<protocol>[@split]/<actor>[/by-<driver>]/<method>[+variant]/<profile>-s<seed>``.

    The split is in the path if it is not the protocol's default, the driver if there is one, the variant if settings
    were given.
    """

    protocol: str
    split: str | None
    actor: str
    method: str
    settings: Mapping[str, str]
    profile: str
    seed: int
    driver: str | None = None

    def folder(self, runs_dir: Path) -> Path:
        """Return the run's folder below ``runs_dir``."""
        protocol = f"{self.protocol}@{self.split}" if self.split else self.protocol
        variant = variant_name(self.settings)
        method = f"{self.method}+{variant}" if variant else self.method
        subject = Path(self.actor) if self.driver is None else Path(self.actor) / f"by-{self.driver}"
        return runs_dir / protocol / subject / method / f"{self.profile}-s{self.seed}"


def variant_name(settings: Mapping[str, str]) -> str:
    """Return the settings as a part of a folder name; the same settings give the same name, no settings give ``""``."""
    text = ",".join(f"{key}={settings[key]}" for key in sorted(settings))
    safe = re.sub(r"[^A-Za-z0-9._=,-]", "_", text)
    if safe == text and len(safe) <= VARIANT_LENGTH:
        return safe
    return f"{safe[:VARIANT_LENGTH]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


class RunFolder:
    """The folder of a run. ``identity`` is what its frames depend on; another identity needs another folder."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> RunFolder:
        """Start a run in a folder, or continue the run that is there.

        Args:
            path: the run's folder; it exists, and this process holds its lock.
            identity: plain JSON values; see the class.
            facts: further entries of a new manifest, for its readers.

        Raises:
            UserError: the folder holds a run of another identity; the message says what differs.
        """
        identity = plain(identity)
        if (path / MANIFEST).is_file():
            manifest = read_manifest(path)
            changes = _changes(manifest["identity"], identity)
            if changes:
                raise UserError(
                    f"{path} holds a run made with another {changes[0]}"
                    f"{f' ({len(changes) - 1} more differ)' if len(changes) > 1 else ''}: "
                    "remove that folder, or write elsewhere with --runs DIR"
                )
            return cls(path, manifest)
        run = cls(path, {"format": FORMAT, **facts, "identity": identity, "stages": {}})
        run._write()
        return run

    def finished(self, stage: str, inputs: Any = None) -> bool:
        """Return whether the stage was finished with the same ``inputs``."""
        entry = self.manifest["stages"].get(stage, {})
        return bool(entry.get("finished_at")) and entry.get("inputs") == plain(inputs)

    def damage(self, stage: str, names: Iterable[str]) -> str | None:
        """Say what is wrong with the files of a finished stage; None if they are unchanged.

        A file without a stored SHA-256, as in runs of older versions, only has to exist.
        """
        known = self.manifest["stages"].get(stage, {}).get("files", {})
        for name in names:
            found = file_sha256(self.path / name)
            if found is None:
                return f"{name} is missing"
            if found != known.get(name, found):
                return f"{name} has changed since it was written"
        return None

    def changed_others(self, stage: str) -> list[str]:
        """Return the changed files of a finished stage on which neither a later stage nor a score depends."""
        known = self.manifest["stages"][stage].get("other_files", {})
        now = recorded(self.manifest)
        return [name for name in known if file_sha256(self.path / name) not in (None, now[name])]

    def start(self, stage: str) -> int:
        """Store that a stage begins; return the number of this attempt, from 1. Later stages are no longer finished."""
        stages = self.manifest["stages"]
        attempts = 1 if stages.get(stage, {}).get("finished_at") else stages.get(stage, {}).get("attempts", 0) + 1
        for later in STAGES[STAGES.index(stage) :]:
            stages.pop(later, None)
        stages[stage] = {"attempts": attempts}
        self._write()
        return attempts

    def finish(
        self, stage: str, inputs: Any = None, names: Iterable[str] = (), others: Iterable[str] = (), **facts: Any
    ) -> None:
        """Store that a stage is finished, with the SHA-256 of its files, which are complete.

        Args:
            stage: the stage.
            inputs: as for :meth:`finished`.
            names: the files that a later stage or a score depends on.
            others: the other files that the stage wrote.
            facts: further entries.
        """
        entry = {"finished_at": _now(), "inputs": inputs, **facts, "files": self._digests(names)}
        self.manifest["stages"][stage] |= entry | {"other_files": self._digests(others)}
        self._write()

    def _digests(self, names: Iterable[str]) -> dict[str, str]:
        found = {name: file_sha256(self.path / name) for name in names}
        return {name: sha256 for name, sha256 in found.items() if sha256}

    def note(self, **facts: Any) -> None:
        """Set entries of the manifest that are not part of the identity."""
        self.manifest.update(facts)
        self._write()

    def _write(self) -> None:
        """Write the manifest, after a check that it can be read again.

        Raises:
            MethodError: an entry has a wrong type; the method returned it.
        """
        content = plain(self.manifest)
        wrong = problem(Manifest, content)
        if wrong is not None:
            raise MethodError(f"{self.path / MANIFEST} cannot store what the method's describe() returned: {wrong}")
        write_manifest(self.path, content)


@contextmanager
def lock_folder(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Make a run's folder and lock it for this process.

    If another living process holds the lock, a UserError is raised; with ``wait`` this process waits until the lock is
    free, and finds what the other process made. A lock of a dead process is free.

    A folder that was made here is removed if the block fails before there is a run in it. It is also removed if the
    block raises a UserError before the run has a result. Otherwise the corrected command would find the run of the
    wrong one.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    with _held_lock(path, wait):
        remove_left_over(path)
        try:
            yield
        except BaseException as error:
            refused = isinstance(error, UserError)
            if path in made and (not (path / MANIFEST).exists() or (refused and _has_nothing(path))):
                _remove_empty(path, made)
            raise


@contextmanager
def _held_lock(path: Path, wait: bool) -> Iterator[None]:
    waited = False
    while True:
        with _opened_lock(path) as file:
            if not try_lock(file):
                if not wait:
                    raise UserError(f"another process works in {path}: wait for it or end it{_holder(file)}")
                if not waited:
                    log.info("waiting for another process that works in %s%s", path, _holder(file))
                waited = True
            # The process that held the lock may have removed the folder and the lock file.
            elif _is_at(file, path / LOCK):
                if waited:
                    log.info("the other process has finished in %s", path)
                _sign(file)
                yield
                return
        time.sleep(WAIT_POLL_S)


def _sign(file: TextIO) -> None:
    """Write into the lock file who holds it. Only messages use that: the lock itself ends with the process."""
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        # Not through the file's buffer: what a full disk does not take would be written again, and fail, at the end.
        os.write(file.fileno(), f"{os.getpid()} {socket.gethostname()}\n".encode())


def _holder(file: TextIO) -> str:
    """Return ``" (process 123 on HOST)"``; empty if the lock file does not say who holds it."""
    with suppress(OSError, ValueError):
        file.seek(0)
        found = _SIGNATURE.fullmatch(file.read(400))
        if found:
            return f" (process {found['process']} on {found['host']})"
    return ""


def _is_at(file: TextIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    return False


def _opened_lock(path: Path) -> TextIO:
    """Make the folder and open its lock file; UserError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return open_in_place(path / LOCK, "a+")
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}): write elsewhere with --runs DIR") from error


def _has_nothing(path: Path) -> bool:
    """Return whether a run has finished no stage and has no file except its manifest, log and lock."""
    stages = read_manifest(path)["stages"].values()
    names = {file.name for file in path.iterdir()}
    return names <= {LOCK, LOG, MANIFEST} and not any(stage.get("finished_at") for stage in stages)


def _remove_empty(path: Path, made: list[Path]) -> None:
    """Remove the folders ``made`` for a run that did not begin, innermost first, unless they hold other files."""
    for name in (MANIFEST, LOG, LOCK):
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):
        for folder in made:
            folder.rmdir()


def _changes(before: Any, now: Any, name: str = "") -> list[str]:
    """List the differences between two JSON values, e.g. ``config.steps (1100, now 900)``."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for key in sorted(before.keys() | now.keys())
            for change in _changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [f"{name} ({_short(before)}, now {_short(now)})"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:18]}…"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
