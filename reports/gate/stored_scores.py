"""Stored scores of ``emo-bench check``: scores of runs, frame by frame, in one file that a repository can keep."""

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
from reports.gate.thresholds import selectors
from reports.ground import FACTS, Facts
from reports.rows import Row, read_rows, same_seed

FORMAT = 1
# A score takes about fifteen bytes.
LIMIT_BYTES = 2**28
AGAIN = "delete it and make it again with --update"
# Significant digits of a stored score: more than a score means, and fewer than a float has.
DIGITS = 12

Key = tuple[tuple[str, str], ...]

_Score = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)] | Literal["inf"] | None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class _Key(_Entry):
    """The values that identify runs, as text."""

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
        lacking = [name for name in FACTS if name not in self.facts]
        if lacking:
            raise ValueError(f"the fact {lacking[0]} is missing")
        for name, metric in self.metrics.items():
            if [len(row) for row in metric.scores] != [len(self.frames)] * len(self.seeds):
                raise ValueError(f"the scores of {name} do not fit the seeds and frames")
        return self


class _File(_Entry):
    """The content of a file of stored scores."""

    format: Literal[1]
    runs: list[_Runs]


@dataclass(frozen=True)
class MetricScores:
    """A metric's record and its scores ``[S, N]``: one row for each seed, NaN if a score is undefined."""

    record: Mapping[str, Any]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredRuns:
    """Repeats: runs of one contestant on one subject, which differ in the seed only.

    Attributes:
        key: identifies the runs: what thresholds choose them by, and their split and resolution.
        facts: what must agree before scores are paired with these, see :mod:`reports.ground`.
        seeds: the seed of each row of the scores.
        frames: the frame number of each column of the scores.
        metrics: scores by metric id.
        rows: the runs themselves; empty if the scores were read from a file.
    """

    key: Key
    facts: Facts
    seeds: tuple[int, ...]
    frames: tuple[int, ...]
    metrics: Mapping[str, MetricScores]
    rows: tuple[Row, ...] = ()

    @property
    def title(self) -> str:
        """``emo-avatar, actor 1, smoke``, followed by the style of an edit."""
        known = dict(self.key)
        parts = [known["method"] + (f"+{known['settings']}" if known["settings"] else "")]
        parts += [f"actor {known['actor']}", known["profile"], *filter(None, [known["style"]])]
        return ", ".join(parts)


def group_seeds(rows: Iterable[Row]) -> list[ScoredRuns]:
    """Group runs that differ in the seed only.

    Raises:
        UserError: two runs have the same seed, or runs of one group cannot be compared.
    """
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        identity = row.identity
        ground = (("split", identity["split"]["name"]), ("resolution_px", str(identity["resolution_px"])))
        key = (*selectors(row).items(), *ground)
        groups[key].append(row)
    return [_scored(key, sorted(own, key=lambda row: row.seed)) for key, own in groups.items()]


def load_stored_scores(path: Path) -> dict[Key, ScoredRuns]:
    """Read stored scores by key, from a file of :func:`write_stored_scores` or from a folder of finished runs.

    Raises:
        UserError: it is missing or damaged.
    """
    if path.is_dir():
        return {group.key: group for group in group_seeds(read_rows([path]))}
    try:
        content = read_json(path, LIMIT_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"there are no stored scores at {path}: make them with --update") from error
    except UserError as error:
        raise UserError(f"the file of stored scores {error}: {AGAIN}") from error
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        found = json.dumps(content["format"])
        raise UserError(f"{path} has format {found}, but this emo-bench reads format {FORMAT}: {AGAIN}")
    wrong = problem(_File, content)
    if wrong is not None:
        raise UserError(f"the file of stored scores {path} is damaged: {wrong}: {AGAIN}")
    groups = [_from_json(entry) for entry in content["runs"]]
    return {group.key: group for group in groups}


def write_stored_scores(path: Path, groups: Iterable[ScoredRuns]) -> None:
    """Write a file of stored scores in a fixed order, one line for each metric and seed, so that diffs are readable."""
    runs = [_to_json(group) for group in sorted(groups, key=lambda group: group.key)]
    text = json.dumps({"format": FORMAT, "emo_bench": __version__, "runs": runs}, indent=1, allow_nan=False)
    # The numbers of a list stand on one line.
    text = re.sub(
        r'\[\s+((?:-?[\d.e+-]+|null|"inf")(?:,\s+(?:-?[\d.e+-]+|null|"inf"))*)\s+\]',
        lambda found: "[" + re.sub(r"\s+", " ", found.group(1)) + "]",
        text,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (text + "\n").encode())


def _scored(key: Key, rows: Sequence[Row]) -> ScoredRuns:
    first = rows[0]
    for row in rows[1:]:
        if row.facts != first.facts or row.frames != first.frames:
            raise UserError(
                f"{first.run.path} and {row.run.path} differ in more than the seed: check each of them by itself"
            )
    pair = same_seed(rows)
    if pair is not None:
        raise UserError(f"two runs are the same, leave one out: {pair[0].run.path} and {pair[1].run.path}")
    shared = [name for name in first.cells if all(name in row.cells for row in rows)]
    metrics = {
        name: MetricScores(first.cells[name].record, np.stack([row.scores(name) for row in rows])) for name in shared
    }
    return ScoredRuns(key, first.facts, tuple(row.seed for row in rows), first.frames, metrics, tuple(rows))


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
