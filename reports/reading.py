"""Read many runs with two processes: they take shares of the folders in turn, and the result is that of one process."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emo_bench.runs.finished import FinishedRun, OpenedRuns, open_runs, score_table, sorted_out, try_open, with_shared
from emo_bench.system.second_process import NoAnswer, SecondProcess
from reports.rows import Cell, plain_cells

# A report of fewer runs is read sooner than a second process has started.
FEWEST_FOR_TWO = 1000
# Runs in a share: few enough that no process waits long for the last one.
SHARE = 25

Cells = dict[FinishedRun, dict[str, Cell]]


class Sent(NamedTuple):
    """A finished run as the second process sends it.

    Attributes:
        manifest: the content of run.json; the runs of a share have equal entries in common.
        values: ``[M, N]``, the scores.
        numbers: the numbers of the N frames, int64; in common too.
        cells: see :func:`reports.rows.plain_cells`.
    """

    manifest: dict[str, Any]
    values: NDArray[np.float64]
    numbers: bytes
    cells: dict[str, Cell]


def open_together(folders: Sequence[Path], helper: SecondProcess | None) -> tuple[OpenedRuns, Cells]:
    """Open the finished runs among ``folders`` as ``open_runs`` does; with a helper their cells are computed too.

    Raises:
        UserError: no run is finished and undamaged.
    """
    if helper is None:
        return open_runs(folders), {}
    reading = _Reading(folders, helper)
    opened = reading.read()
    return sorted_out(folders, opened), reading.cells


def read_share(folders: Sequence[Path]) -> list[Sent | str | None]:
    """Open runs in the second process; an unfinished one is None, a damaged one is the line that says why."""
    known: dict[str, Any] = {}
    numbers: dict[bytes, bytes] = {}
    sent: list[Sent | str | None] = []
    for folder in folders:
        found = try_open(folder, known)
        if isinstance(found, FinishedRun):
            own = found.scores.index.to_numpy().tobytes()
            values = found.scores.to_numpy().T
            sent.append(Sent(found.manifest, values, numbers.setdefault(own, own), plain_cells(found)))
        else:
            sent.append(found)
    return sent


class _Reading:
    """The runs of ``folders`` while two processes read them: this one from the front, the helper from the end."""

    def __init__(self, folders: Sequence[Path], helper: SecondProcess) -> None:
        self.cells: Cells = {}
        self._folders = folders
        self._helper: SecondProcess | None = helper
        self._known: dict[str, Any] = {}
        self._opened: dict[int, FinishedRun | str | None] = {}
        self._waiting = deque(range(0, len(folders), SHARE))
        # Where the share begins that the helper reads now.
        self._away: int | None = None

    def read(self) -> list[FinishedRun | str | None]:
        """Return what ``try_open`` returns for each folder."""
        self._give()
        while self._waiting or self._away is not None:
            if not self._waiting:
                self._take()
                continue
            begin = self._waiting.popleft()
            for place in range(begin, min(begin + SHARE, len(self._folders))):
                self._open_here(place)
                if self._away is not None and self._helper is not None and self._helper.is_ready():
                    self._take()
        return [self._opened[place] for place in range(len(self._folders))]

    def _open_here(self, place: int) -> None:
        found = self._opened[place] = try_open(self._folders[place], self._known)
        if isinstance(found, FinishedRun):
            self.cells[found] = plain_cells(found)

    def _give(self) -> None:
        """Give the helper the last share that nobody has read."""
        self._away = None
        if self._helper is None or not self._waiting:
            return
        begin = self._waiting.pop()
        try:
            self._helper.ask(read_share, list(self._folders[begin : begin + SHARE]))
            self._away = begin
        except NoAnswer:
            self._do_without(begin)

    def _take(self) -> None:
        """Wait for the helper's share, give it the next one, and keep what it read."""
        begin = self._away
        assert begin is not None and self._helper is not None
        try:
            answer = self._helper.answer()
        except NoAnswer:
            self._do_without(begin)
            return
        self._give()
        seen: dict[int, Any] = {}
        share = pickle.loads(answer)
        for place, sent in enumerate(share, start=begin):
            if not isinstance(sent, Sent):
                self._opened[place] = sent
                continue
            manifest = with_shared(sent.manifest, self._known, seen)
            table = score_table(sent.values, sent.numbers, manifest["stages"]["score"]["records"])
            run = self._opened[place] = FinishedRun(self._folders[place], manifest, table)
            self.cells[run] = sent.cells

    def _do_without(self, begin: int) -> None:
        """The helper failed: read its share here, and all that are left."""
        self._helper = self._away = None
        self._waiting.append(begin)
