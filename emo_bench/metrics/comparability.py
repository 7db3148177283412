"""Decide whether two scores may be ranked: everything that changes a score must be equal in their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emo_bench.errors import UserError

# The fields that must be equal. The number of frames may differ: a comparison uses the frames that all have.
KEYS = (
    "metric", "version", "direction", "unit", "resolution", "resize_filter", "region", "background",
    "value_range", "averaging",
)  # fmt: skip
BACKEND_KEYS = ("name", "sha256")
# Only the record of a metric in a file of the user's has it.
FILE_KEY = "file_sha256"

RecordDict = Mapping[str, Any]


def kind(record: RecordDict) -> tuple[Any, ...]:
    """Return the record's fields that determine the scores; scores may be ranked together if these are equal.

    Args:
        record: the result of ``Record.as_dict()``.
    """
    return (*(record[key] for key in KEYS), *(record["backend"][key] for key in BACKEND_KEYS), record.get(FILE_KEY))


def difference(first: RecordDict, second: RecordDict) -> str | None:
    """Return the first field in which two records differ, with both values; None if there is none."""
    names = (*KEYS, *(f"backend {key}" for key in BACKEND_KEYS), "the metric's file (SHA-256)")
    for name, mine, theirs in zip(names, kind(first), kind(second), strict=True):
        if mine != theirs:
            return f"{name}: {mine!r} and {theirs!r}"
    return None


def require_comparable(records: Sequence[RecordDict]) -> None:
    """Refuse to rank scores whose records differ.

    Raises:
        UserError: the records differ; the message names the metric and the field.
    """
    for record in records[1:]:
        gap = difference(records[0], record)
        if gap is not None:
            raise UserError(
                f"scores of {records[0]['metric']} cannot be ranked together, their records differ in {gap}: "
                "score the same frames again under one convention"
            )
