"""The rules for which runs may be compared: which share a table, which are paired, and which are repeats.

docs/reports.md ("What may be compared") gives the rules in plain words. Reports, ``emo-bench compare``,
``emo-bench check`` and the tables of ablations all ask this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from emo_bench.methods.registry import TRIVIAL
from emo_bench.metrics.comparability import RecordDict, kind
from emo_bench.metrics.metric import NO_BACKEND
from emo_bench.runs.finished import FinishedRun

# Two runs may share a table if these facts are equal. Differences are reported in this order.
TABLE = ("smoke", "protocol", "protocol version", "protocol hash", "split", "resolution_px")
# Two runs are paired frame by frame if these facts are equal too.
SUBJECT = ("style", "actor", "actor sha256", "split sha256")
FACTS = (*TABLE, *SUBJECT)
SHA256_DIGITS = 64

Facts = Mapping[str, Any]


class Subject(NamedTuple):
    """What was filmed and asked for: two runs of one subject have the same frames and the same style."""

    actor: str
    actor_sha256: str
    split_sha256: str
    style: str


class Contestant(NamedTuple):
    """What made the frames. Two runs of one contestant and one subject are repeats: they differ in the seed."""

    method: str
    settings: str
    profile: str

    @property
    def name(self) -> str:
        """``emo-avatar+lr=1 (cpu)``."""
        return f"{self.method}{'+' if self.settings else ''}{self.settings} ({self.profile})"


def facts(run: FinishedRun) -> dict[str, Any]:
    """The values of ``FACTS`` of a run, in that order."""
    identity = run.manifest["identity"]
    protocol, split, actor = identity["protocol"], identity["split"], _shown(identity)
    return {
        "smoke": run.manifest["smoke"],
        "protocol": protocol["name"],
        "protocol version": protocol["version"],
        "protocol hash": protocol["hash"],
        "split": split["name"],
        "resolution_px": identity["resolution_px"],
        "style": identity["style"]["name"] if "style" in identity else "",
        "actor": actor["name"],
        "actor sha256": actor["sha256"],
        # Methods that edit one clip are compared whatever they were fitted on, because a video editor is not fitted.
        "split sha256": held_out_sha256(run) if "style" in identity else split["sha256"],
    }


def _shown(identity: Mapping[str, Any]) -> dict[str, str]:
    """Name and SHA-256 of the actor; of a driven avatar they say who drives it too, as in ``1 driven by 2``."""
    actor, driver = identity["actor"], identity.get("driver")
    if driver is None:
        return {"name": actor["name"], "sha256": actor["sha256"]}
    both = f"{actor['sha256']} driven by {driver['sha256']}"
    return {"name": f"{actor['name']} driven by {driver['name']}", "sha256": hashlib.sha256(both.encode()).hexdigest()}


def held_out_sha256(run: FinishedRun) -> str:
    """The SHA-256 of the list of held-out frames."""
    return hashlib.sha256(str(run.manifest["split"]["test"]).encode()).hexdigest()


def table_key(run: FinishedRun) -> tuple[Any, ...]:
    """Equal for runs that share a table: the same facts of ``TABLE`` and the same kind of each metric."""
    known = facts(run)
    records = run.manifest["stages"]["score"]["records"].values()
    return (*(known[name] for name in TABLE), tuple(kind(record) for record in records))


def subject_of(run: FinishedRun) -> Subject:
    """The subject of a run."""
    known = facts(run)
    return Subject(known["actor"], known["actor sha256"], known["split sha256"], known["style"])


def contestant_of(run: FinishedRun) -> Contestant:
    """The contestant of a run. The seed is no part of it, and neither is the machine."""
    identity = run.manifest["identity"]
    # A trivial method has one setting, the resolution, and takes it from the method beside it.
    settings = {} if is_trivial(run) else identity["settings"]
    shown = ",".join(f"{key}={value}" for key, value in sorted(settings.items()))
    return Contestant(identity["method"], shown, identity["profile"])


def is_trivial(run: FinishedRun) -> bool:
    """Whether the method is one of the trivial methods that every report shows."""
    return run.manifest["identity"]["method"] in TRIVIAL


def differing_fact(one: Facts, other: Facts) -> str | None:
    """The first of ``FACTS`` in which two runs differ, so that their scores cannot be paired; None if there is none."""
    return next((name for name in FACTS if one[name] != other[name]), None)


def differing_values(one: Facts, other: Facts) -> str | None:
    """:func:`differing_fact` with both values, as in ``actor: '1' and '2'``."""
    name = differing_fact(one, other)
    return None if name is None else f"{name}: {_short(one[name])} and {_short(other[name])}"


def is_measured(record: RecordDict) -> bool:
    """Whether a metric had a backend. If not, its detail says why, and there is nothing to compare."""
    return bool(record["backend"]["name"] != NO_BACKEND)


def _short(value: Any) -> str:
    text = str(value)
    return repr(text[:12] + "…") if len(text) == SHA256_DIGITS else repr(value)
