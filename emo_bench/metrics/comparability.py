"""When two scores are of one kind: everything that changes a number must agree, or they are not ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emo_bench.errors import UserError

# What must agree. The number of frames may differ: a comparison is made on the frames that all have.
KEYS = (
    "metric", "version", "direction", "unit", "resolution", "resize_filter", "region", "background",
    "value_range", "averaging",
)  # fmt: skip
BACKEND_KEYS = ("name", "sha256")

RecordDict = Mapping[str, Any]


def kind(record: RecordDict) -> tuple[Any, ...]:
    """What makes a record's numbers what they are; equal for scores that may be ranked against each other.

    Args:
        record: a ``Record.as_dict()``.
    """
    return (*(record[key] for key in KEYS), *(record["backend"][key] for key in BACKEND_KEYS))


def difference(first: RecordDict, second: RecordDict) -> str | None:
    """The first field in which two records differ, with both values; None when they are of one kind."""
    names = (*KEYS, *(f"backend {key}" for key in BACKEND_KEYS))
    for name, mine, theirs in zip(names, kind(first), kind(second), strict=True):
        if mine != theirs:
            return f"{name}: {mine!r} and {theirs!r}"
    return None


def require_comparable(records: Sequence[RecordDict]) -> None:
    """Refuse to rank scores of different kinds.

    Raises:
        UserError: names the metric and the field that differs.
    """
    for record in records[1:]:
        gap = difference(records[0], record)
        if gap is not None:
            raise UserError(
                f"scores of {records[0]['metric']} cannot be ranked together, their records differ in {gap}: "
                "score the same frames again under one convention"
            )
