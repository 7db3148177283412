"""Fit and render, or edit a clip, in a process of its own, with a time limit and a log.

The child processes of that process are ended with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.files import write_json
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import ClipMethod, is_video_editor
from emo_bench.methods.command.process import last_line, signal_name
from emo_bench.methods.interface import EditStyle, Method, Workspace
from emo_bench.plug_ins import own_packages
from emo_bench.text.console import show_any_text
from emo_bench.video.lossless import FrameDigest

TRAIN, TEST = tuple(range(24)), tuple(range(30, 36))
SEED = 3
# Greatest time in seconds that a process may take to start on a busy machine.
START_LIMIT_S = 300.0
POLL_S = 0.02


# The edit that a video editor is tried with.
STYLE = EditStyle(
    "bronze-statue", "a photo of a person", "a bronze statue of a person", "turn the person into a bronze statue",
    "styletransfer", {"style": 10, "size_px": 64},
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The result of a fit and render, or of an edit: the ``digest`` of the frames, or the ``error`` in one line."""

    digest: str = ""
    error: str = ""


class FitProcess:
    """A process that fits and renders, or edits; its files lie beside the method's ``folder`` and have the same name.

    Args:
        name, actor, profile: the method is fitted on :data:`TRAIN` and rendered for :data:`TEST`; a video editor edits
            :data:`TEST`.
        folder: the folder of the method's workspace.
        home: ``EMO_BENCH_HOME`` of the process; None leaves it unchanged.
    """

    def __init__(self, name: str, actor: str, profile: str, folder: Path, home: Path | None = None) -> None:
        self._fitting, self._answer, self._log = _files(folder)
        for file in (self._fitting, self._answer):
            file.unlink(missing_ok=True)
        words = [name, actor, profile, str(folder)]
        environment = os.environ if home is None else {**os.environ, "EMO_BENCH_HOME": str(home)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "emo_bench.methods.contract.fit", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def kill_at_work(self, after_s: float) -> bool:
        """Kill the process and its children ``after_s`` seconds after its work began; False if it had ended."""
        try:
            end = time.monotonic() + START_LIMIT_S
            while self._process.poll() is None and not self._fitting.exists() and time.monotonic() < end:
                time.sleep(POLL_S)
            self._process.wait(timeout=after_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._end()
        return self._fitting.exists() and not self._answer.exists()

    def outcome(self, limit_s: float) -> Outcome:
        """Wait for the outcome; after ``limit_s`` seconds the process and its children are ended."""
        try:
            code = self._process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return Outcome(error=f"it took longer than {limit_s:.0f} s and was ended")
        finally:
            self._end()
        if self._answer.is_file():
            return Outcome(**json.loads(self._answer.read_text(encoding="utf-8")))
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return Outcome(error=f"its process {how}: {last_line(self._log)}")

    def _end(self) -> None:
        if self._process.poll() is None:
            _kill_with_children(self._process.pid)
            self._process.wait()


def opened(cls: type[Method], workspace: Workspace) -> Method:
    """Build a method; a video editor gets the edit :data:`STYLE`."""
    method = methods.build(cls, workspace)
    return method.edit(STYLE, workspace) if is_video_editor(cls) else method


def seed_all() -> None:
    """Set the random state that the runner sets before every stage."""
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def digest_of(frames: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of frames ``uint8 [H, W, 3]``."""
    digest = FrameDigest()
    for frame in frames:
        digest.add(frame)
    return digest.hexdigest()


def in_words(error: BaseException) -> str:
    """Describe an error in one line."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _files(folder: Path) -> tuple[Path, Path, Path]:
    """The files of the process: one that exists while the fit runs, the outcome, and all output."""
    fitting, answer, log = (folder.with_name(f"{folder.name}.{kind}") for kind in ("fitting", "json", "log"))
    return fitting, answer, log


def _kill_with_children(pid: int) -> None:
    """Kill a process and all its descendants, also those with a session of their own."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        # The process is stopped first: it cannot start a new child while its children are listed.
        process.suspend()
        for child in process.children():
            _kill_with_children(child.pid)
        process.kill()


def _fit_and_render(name: str, actor: str, profile: str, folder: Path) -> None:
    fitting, answer, _ = _files(folder)
    folder.mkdir(exist_ok=True)
    try:
        method = opened(methods.method_class(name), Workspace(folder, profile, SEED))
        capture = actors.load(actor)
        seed_all()
        fitting.touch()
        if isinstance(method, ClipMethod):
            frames = list(method.render(capture.restricted(TEST), list(TEST)))
            fitting.unlink()
        else:
            method.fit(capture.restricted(TRAIN), list(TRAIN))
            fitting.unlink()
            frames = list(method.render(capture.restricted(()), list(TEST)))
        outcome = Outcome(digest_of(frames))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the method raises is the finding
        outcome = Outcome(error=in_words(error))
    write_json(answer, dataclasses.asdict(outcome))


if __name__ == "__main__":
    show_any_text()
    own_packages.claim()
    given_name, given_actor, given_profile, given_folder = sys.argv[1:]
    _fit_and_render(given_name, given_actor, given_profile, Path(given_folder))
