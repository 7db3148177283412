"""Baselines of ``emo-bench check``: scores of runs, frame by frame, in one file that a repository can keep."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from emo_bench import __version__
from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.runs.manifest import LARGEST, MOST_FRAMES, Record, problem
from emo_bench.untrusted.plain_json import read_json
from reports.compare.sides import GROUND, SUBJECT, facts, read_rows
from reports.comparison import Row
from reports.gate.thresholds import selectors

FORMAT = 1
# A score takes fifteen bytes or so.
LIMIT_BYTES = 2**28
AGAIN = "remove it and make it again with --update"
# More digits than a score has, fewer than a repository should keep.
DIGITS = 12

Key = tuple[tuple[str, str], ...]

_Score = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)] | Literal["inf"] | None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class _Key(_Entry):
    """What runs are chosen by; all values are text."""

    __pydantic_extra__: dict[str, str]

    method: str
    settings: str
    profile: str
    actor: str
    protocol: str
    style: str
    split: str
    resolution_px: str


class _Metric(_Entry):
    record: Record
    scores: list[list[_Score]]


class _Runs(_Entry):
    key: _Key
    facts: dict[str, str | int | bool]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    frames: Annotated[list[Annotated[int, Field(ge=0, lt=MOST_FRAMES)]], Field(min_length=1)]
    metrics: dict[str, _Metric]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        lacking = [name for name in (*GROUND, *SUBJECT) if name not in self.facts]
        if lacking:
            raise ValueError(f"the fact {lacking[0]} is missing")
        for name, metric in self.metrics.items():
            if [len(row) for row in metric.scores] != [len(self.frames)] * len(self.seeds):
                raise ValueError(f"the scores of {name} do not fit the seeds and frames")
        return self


class _Baseline(_Entry):
    """The content of a baseline file."""

    format: Literal[1]
    runs: list[_Runs]


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
        content = read_json(path, LIMIT_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"there is no baseline {path}: make it with --update") from error
    except UserError as error:
        raise UserError(f"the baseline {error}: {AGAIN}") from error
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        found = json.dumps(content["format"])
        raise UserError(f"{path} has format {found}, this emo-bench reads {FORMAT}: {AGAIN}")
    wrong = problem(_Baseline, content)
    if wrong is not None:
        raise UserError(f"the baseline {path} is damaged: {wrong}: {AGAIN}")
    groups = [_from_json(entry) for entry in content["runs"]]
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
            raise UserError(f"{rows[0].run.path} and {row.run.path} are not seeds of one run: check them apart")
    seeds = tuple(row.identity["seed"] for row in rows)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"two runs are the same: {' and '.join(str(row.run.path) for row in rows)}")
    shared = [name for name in rows[0].cells if all(name in row.cells for row in rows)]
    metrics = {
        name: MetricScores(rows[0].cells[name].record, np.stack([row.scores(name) for row in rows])) for name in shared
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
            np.array([[math.nan if v is None else float(v) for v in row] for row in metric["scores"]], dtype=float),
        )
        for name, metric in entry["metrics"].items()
    }
    return ScoredRuns(
        tuple(entry["key"].items()), entry["facts"], tuple(entry["seeds"]), tuple(entry["frames"]), metrics
    )


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else float(f"{value:.{DIGITS}g}")
