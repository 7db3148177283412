"""Which two runs are compared when the user names none, or one folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.methods.registry import TRIVIAL
from emo_bench.runs.finished import load_run, newest_finished, open_runs
from emo_bench.runs.manifest import MANIFEST
from reports.ground import differing_fact
from reports.rows import Row

log = logging.getLogger("emo_bench")


def newest_pair(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The newest finished run at or below ``paths``, and a run of a trivial method beside it.

    If several trivial runs have the same frames, nearest-frame is preferred to mean-frame, and then a run with the same
    profile and seed.

    Raises:
        UserError: no run is finished there, or no trivial method has the same frames and size.
    """
    newest = newest_finished(paths)
    row = Row(load_run(newest))
    # runs/PROTOCOL/ACTOR/METHOD/PROFILE-sSEED: the neighbours have the same protocol and actor.
    neighbours = [path.parent for path in newest.parent.parent.glob(f"*/*/{MANIFEST}") if path.parent != newest]
    opened = open_runs([newest, *neighbours])
    for reason in opened.damaged.values():
        log.warning("left out: %s", reason)
    others = [Row(run) for run in opened.finished if run.path != newest]
    beside = [other for other in others if other.trivial and differing_fact(row.facts, other.facts) is None]
    if not beside:
        raise UserError(
            f"{newest} is the newest finished run, and no trivial method on the same frames lies beside it: "
            "name two runs, as in emo-bench compare RUN_A RUN_B"
        )
    return newest, max(beside, key=lambda other: _closeness(row, other)).run.path


def _closeness(row: Row, other: Row) -> tuple[int, bool, bool, str]:
    made_by = other.contestant
    return (
        TRIVIAL.index(made_by.method),
        made_by.profile == row.contestant.profile,
        other.seed == row.seed,
        str(other.run.path),
    )
