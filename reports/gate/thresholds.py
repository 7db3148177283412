"""Threshold files of ``emo-bench check``: which scores of which runs must not fall below what."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from emo_bench.untrusted.schema import read_toml_as
from reports.comparison import Row

RELATIVE = ("allow", "allow_percent", "allow_spreads")
ABSOLUTE = ("at_least", "at_most")
# The fields that choose runs.
SELECTORS = ("method", "settings", "profile", "actor", "protocol", "style")

# One glob or several, each of which must match something.
Globs = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value), Field(min_length=1)
]
Limit = Annotated[float, Field(allow_inf_nan=False)]
Allowance = Annotated[Limit, Field(ge=0)]


class Threshold(BaseModel):
    """Limits of the metrics and runs that its globs match.

    Attributes:
        metric, method, actor, profile, protocol: globs, or lists of globs of which each must match something.
        settings: globs on ``key=value,key=value``; by default only runs without ``--set``.
        style: globs on the style of an edit; by default only runs that are no edits.
        at_least, at_most: of the mean over frames, and over the seeds that are given.
        allow: how much worse than the baseline, in the metric's unit.
        allow_percent: the same, in per cent of the baseline.
        allow_spreads: the same, in standard errors of the difference over frames and between seeds. Allowances add up.
        frames_share: the share of frames that must have a score.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Globs
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
        """Whether it looks at the baseline."""
        return any(getattr(self, name) is not None for name in RELATIVE)

    @property
    def title(self) -> str:
        """Its globs, as in the file."""
        given = [name for name in ("metric", *SELECTORS) if name in self.model_fields_set]
        return ", ".join(f"{name} = {' | '.join(getattr(self, name))!r}" for name in given)

    def matches(self, row: Row) -> bool:
        """Whether it is about a run."""
        known = selectors(row)
        return all(_match(known[name], getattr(self, name)) for name in SELECTORS)

    def unmatched(self, rows: Sequence[Row], metrics: Sequence[str]) -> list[str]:
        """Globs that match none of the runs, which it is about, or none of their metrics; a plain metric always
        does.
        """
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
        """Metrics that it is about, of those known and those it names without a glob."""
        named = [glob for glob in self.metric if not set("*?[") & set(glob)]
        return list(dict.fromkeys([*(name for name in known if _match(name, self.metric)), *named]))


class ThresholdFile(BaseModel):
    """A threshold file; ``baseline`` is a path from the file's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, le=1)
    baseline: Path | None = None
    threshold: tuple[Threshold, ...] = Field(min_length=1)


def load_thresholds(path: Path) -> ThresholdFile:
    """Read a threshold file; a relative baseline is found beside it.

    Raises:
        UserError: it is missing, no TOML, or says what no threshold can mean.
    """
    loaded = read_toml_as(ThresholdFile, path, "")
    if loaded.baseline is None:
        return loaded
    return loaded.model_copy(update={"baseline": path.parent / loaded.baseline})


def selectors(row: Row) -> dict[str, str]:
    """What a run is chosen by."""
    identity = row.identity
    # The resolution of a stand-in follows the method beside it.
    settings = {} if row.trivial else identity["settings"]
    return {
        "method": identity["method"],
        "settings": ",".join(f"{key}={settings[key]}" for key in sorted(settings)),
        "profile": identity["profile"],
        "actor": identity["actor"]["name"],
        "protocol": identity["protocol"]["name"],
        "style": row.style,
    }


def _match(value: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, glob) for glob in globs)
