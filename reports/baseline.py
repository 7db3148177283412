"""Baselines of ``emo-bench check``: scores of runs, frame by frame, in one file that a repository can keep."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_bench import __version__
from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from reports.comparison import Row
from reports.sides import facts, read_rows
from reports.thresholds import selectors

FORMAT = 1
AGAIN = "remove it and make it again with --update"
# More digits than a score has, fewer than a repository should keep.
DIGITS = 12

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MetricScores:
    """A metric's record and its scores ``[S, N]``, one row a seed, NaN where undefined."""

    record: Mapping[str, Any]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredRuns:
    """The runs of one method, settings, profile, actor, protocol, split and resolution: its seeds.

    Attributes:
        key: what they are chosen by, their split and resolution.
        facts: what another run must share before its scores can be compared, as ``sides.facts``.
        seeds, frames: of the rows and columns of the scores.
        metrics: by id.
        rows: the runs themselves; empty for those that a file keeps.
    """

    key: Key
    facts: Mapping[str, Any]
    seeds: tuple[int, ...]
    frames: tuple[int, ...]
    metrics: Mapping[str, MetricScores]
    rows: tuple[Row, ...] = ()

    @property
    def title(self) -> str:
        """``emo-avatar, actor 1, smoke``, with what is unusual behind it."""
        known = dict(self.key)
        parts = [known["method"] + (f"+{known['settings']}" if known["settings"] else "")]
        parts += [f"actor {known['actor']}", known["profile"], *filter(None, [known["style"]])]
        return ", ".join(parts)


def group_seeds(rows: Iterable[Row]) -> list[ScoredRuns]:
    """Runs that differ in their seed alone, together.

    Raises:
        UserError: two runs are the same, or the seeds of one kind were scored in different ways.
    """
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        identity = row.identity
        ground = (("split", identity["split"]["name"]), ("resolution_px", str(identity["resolution_px"])))
        key = (*selectors(row).items(), *ground)
        groups[key].append(row)
    return [_scored(key, sorted(own, key=lambda row: row.identity["seed"])) for key, own in groups.items()]


def load_baseline(path: Path) -> dict[Key, ScoredRuns]:
    """A baseline by key: a file of :func:`write_baseline`, or a folder of finished runs.

    Raises:
        UserError: it is missing or damaged.
    """
    if path.is_dir():
        return {group.key: group for group in group_seeds(read_rows([path]))}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(f"{path} has format {content['format']}, this emo-bench reads {FORMAT}: {AGAIN}")
        groups = [_from_json(entry) for entry in content["runs"]]
    except FileNotFoundError as error:
        raise UserError(f"there is no baseline {path}: make it with --update") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the baseline {path} cannot be read ({error!r}): {AGAIN}") from error
    return {group.key: group for group in groups}


def write_baseline(path: Path, groups: Iterable[ScoredRuns]) -> None:
    """Write a baseline, ordered, one line a metric and seed, so that its changes can be read."""
    runs = [_to_json(group) for group in sorted(groups, key=lambda group: group.key)]
    text = json.dumps({"format": FORMAT, "emo_bench": __version__, "runs": runs}, indent=1, allow_nan=False)
    # Numbers of one list on one line.
    text = re.sub(
        r'\[\s+((?:-?[\d.e+-]+|null|"inf")(?:,\s+(?:-?[\d.e+-]+|null|"inf"))*)\s+\]',
        lambda found: "[" + re.sub(r"\s+", " ", found.group(1)) + "]",
        text,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (text + "\n").encode())


def _scored(key: Key, rows: Sequence[Row]) -> ScoredRuns:
    known = facts(rows[0])
    for row in rows[1:]:
        if facts(row) != known or not row.run.scores.index.equals(rows[0].run.scores.index):
            raise UserError(
                f"{rows[0].run.path} and {row.run.path} are not seeds of one run: check them apart"
            )
    seeds = tuple(row.identity["seed"] for row in rows)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two runs are the same: {' and '.join(str(row.run.path) for row in rows)}")
    shared = [name for name in rows[0].cells if all(name in row.cells for row in rows)]
    metrics = {
        name: MetricScores(rows[0].cells[name].record, np.stack([row.scores(name) for row in rows]))
        for name in shared
    }
    return ScoredRuns(key, known, seeds, tuple(map(int, rows[0].run.scores.index)), metrics, tuple(rows))


def _to_json(group: ScoredRuns) -> dict[str, Any]:
    return {
        "key": dict(group.key),
        "facts": dict(group.facts),
        "seeds": list(group.seeds),
        "frames": list(group.frames),
        "metrics": {
            name: {
                "record": {k: v for k, v in metric.record.items() if k != "frames_dropped"},
                "scores": [[_number(value) for value in row] for row in metric.scores.tolist()],
            }
            for name, metric in group.metrics.items()
        },
    }


def _from_json(entry: Mapping[str, Any]) -> ScoredRuns:
    metrics = {
        name: MetricScores(
            metric["record"],
            np.array(
                [[math.nan if v is None else float(v) for v in row] for row in metric["scores"]], dtype=float
            ),
        )
        for name, metric in entry["metrics"].items()
    }
    for metric in metrics.values():
        if metric.scores.shape != (len(entry["seeds"]), len(entry["frames"])):
            raise ValueError("scores do not fit their frames")
    return ScoredRuns(
        tuple(entry["key"].items()), entry["facts"], tuple(entry["seeds"]), tuple(entry["frames"]), metrics
    )


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else float(f"{value:.{DIGITS}g}")
