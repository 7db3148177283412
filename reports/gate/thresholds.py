"""Threshold files of ``emo-bench check``: limits for the scores of chosen runs."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from emo_bench.untrusted.schema import read_toml_as
from reports.rows import Row

RELATIVE = ("allow", "allow_percent", "allow_spreads")
ABSOLUTE = ("at_least", "at_most")
# The fields that choose runs.
SELECTORS = ("method", "settings", "profile", "actor", "protocol", "style")

# One glob or several; each must match something.
Globs = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(min_length=1)
]


def _metric_ids(globs: tuple[str, ...]) -> tuple[str, ...]:
    """The globs, if each can match an id: runs know a metric by its id, not by its file."""
    for glob in globs:
        if not glob.strip():
            raise ValueError("a metric's id is empty: name a metric (see: emo-bench metrics list), or give '*' for all")
        if glob.endswith(".py") or ".py:" in glob:
            raise ValueError(f"{glob!r} is a file: give the id of its metric, which stands in its info")
    return globs


Limit = Annotated[float, Field(allow_inf_nan=False)]
Allowance = Annotated[Limit, Field(ge=0)]


class Threshold(BaseModel):
    """Limits for the metrics and runs that its globs match.

    Attributes:
        metric, method, actor, profile, protocol: globs, or lists of globs; each glob must match something.
        settings: globs on ``key=value,key=value``; by default only runs without ``--set`` match.
        style: globs on the style of an edit; by default only runs that are not edits match.
        at_least, at_most: limits of the mean over frames, and over the seeds that are given.
        allow: how much worse than the stored scores the runs may be, in the metric's unit.
        allow_percent: the same, in per cent of the stored mean.
        allow_spreads: the same, in standard errors of the difference, over frames and between seeds. The three add up.
        frames_share: the share of frames that must have a score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Annotated[Globs, AfterValidator(_metric_ids)]
    method: Globs = ("*",)
    settings: Globs = ("",)
    profile: Globs = ("*",)
    actor: Globs = ("*",)
    protocol: Globs = ("*",)
    style: Globs = ("",)
    at_least: Limit | None = None
    at_most: Limit | None = None
    allow: Allowance | None = None
    allow_percent: Allowance | None = None
    allow_spreads: Allowance | None = None
    frames_share: float = Field(0.9, gt=0, le=1)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if all(getattr(self, name) is None for name in (*ABSOLUTE, *RELATIVE)):
            raise ValueError(f"needs one of {', '.join((*ABSOLUTE, *RELATIVE))}")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is above at_most")
        return self

    @property
    def relative(self) -> bool:
        """Whether it needs stored scores."""
        return any(getattr(self, name) is not None for name in RELATIVE)

    @property
    def title(self) -> str:
        """Its globs as the file has them."""
        given = [name for name in ("metric", *SELECTORS) if name in self.model_fields_set]
        return ", ".join(f"{name} = {' | '.join(getattr(self, name))!r}" for name in given)

    def matches(self, row: Row) -> bool:
        """Whether a run matches its globs."""
        known = selectors(row)
        return all(_match(known[name], getattr(self, name)) for name in SELECTORS)

    def unmatched(self, rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
        """Its globs that match none of ``rows`` or none of ``metrics``; a metric's plain name is not a glob."""
        missing = [
            f"{name} = {glob!r}"
            for name in SELECTORS
            for glob in getattr(self, name)
            if not any(_match(selectors(row)[name], (glob,)) for row in rows)
        ]
        globs = [glob for glob in self.metric if set("*?[") & set(glob)]
        missing += [f"metric = {glob!r}" for glob in globs if not fnmatch.filter(metrics, glob)]
        return missing

    def metrics_of(self, known: Sequence[str]) -> list[str]:
        """The metrics that it checks: those of ``known`` that match, and those that it names without a glob."""
        named = [glob for glob in self.metric if not set("*?[") & set(glob)]
        return list(dict.fromkeys([*(name for name in known if _match(name, self.metric)), *named]))


class ThresholdFile(BaseModel):
    """A threshold file; ``baseline`` is the path of the stored scores, relative to the file's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, le=1)
    baseline: Path | None = None
    threshold: tuple[Threshold, ...] = Field(min_length=1)


def load_thresholds(path: Path) -> ThresholdFile:
    """Read a threshold file, and make the path of its stored scores absolute or relative to the working folder.

    Raises:
        UserError: the file is missing, is not TOML, or has an invalid threshold.
    """
    loaded = read_toml_as(ThresholdFile, path, "")
    if loaded.baseline is None:
        return loaded
    return loaded.model_copy(update={"baseline": path.parent / loaded.baseline})


def selectors(row: Row) -> dict[str, str]:
    """The values of a run that the globs of a threshold are matched with."""
    actor, protocol = row.subject.actor, row.identity["protocol"]["name"]
    return {**row.contestant._asdict(), "actor": actor, "protocol": protocol, "style": row.style}


def _match(value: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, glob) for glob in globs)
