"""Decide whether two scores may be ranked: everything that changes a score must be equal in their records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emo_bench.errors import UserError

# How a metric was measured: the same in all rows of a table. The number of frames with a score may differ: a
# comparison uses the frames that all have.
KEYS = (
    "metric", "version", "direction", "unit", "resolution", "resize_filter", "region", "background",
    "value_range", "averaging",
)  # fmt: skip
BACKEND_KEYS = ("name", "sha256")
# Only the record of a metric in a file of the user's has it.
FILE_KEY = "file_sha256"
CONDITIONS = "conditions"
# What a metric was measured on: the same in scores that are compared frame by frame.
MEASURED_ON = ("captions", "masks_sha256", "frames", "reference_sha256")
TITLES = {
    "captions": "captions of the edit",
    "masks_sha256": "masks (SHA-256)",
    "frames": "frames",
    "reference_sha256": "reference frames (SHA-256)",
    FILE_KEY: "the metric's file (SHA-256)",
}
UNKNOWN = "not recorded"
AGAIN = "not recorded by an older emo-bench: score again"

RecordDict = Mapping[str, Any]


def kind(record: RecordDict) -> tuple[Any, ...]:
    """Return how the metric was measured: the part of its record that is equal for all rows of a table.

    A record of an older emo-bench lacks some fields, so it is of another kind than any newer one.

    Args:
        record: the result of ``Record.as_dict()``.
    """
    conditions = record.get(CONDITIONS)
    return (
        *(record[key] for key in KEYS),
        *(record["backend"][key] for key in BACKEND_KEYS),
        record.get(FILE_KEY),
        UNKNOWN if conditions is None else tuple(sorted(conditions.items())),
    )


def difference(first: RecordDict, second: RecordDict) -> str | None:
    """Return the first field in which two records differ, with both values; None if the scores may be ranked.

    Equal reference frames are the same selection of frames, whatever their names are.
    """
    for name, mine, theirs in _fields(first, second):
        if mine != theirs:
            if UNKNOWN in (mine, theirs):
                known = theirs if mine == UNKNOWN else mine
                return f"{name}: {known!r}, and {AGAIN}"
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


def _fields(first: RecordDict, second: RecordDict) -> Iterator[tuple[str, Any, Any]]:
    """Yield each field that must be equal: its name, and its values in both records."""
    for key in KEYS:
        yield key, first[key], second[key]
    for key in BACKEND_KEYS:
        yield f"backend {key}", first["backend"][key], second["backend"][key]
    yield TITLES[FILE_KEY], first.get(FILE_KEY), second.get(FILE_KEY)
    mine, theirs = first.get(CONDITIONS), second.get(CONDITIONS)
    if mine is None or theirs is None:
        yield CONDITIONS, UNKNOWN if mine is None else dict(mine), UNKNOWN if theirs is None else dict(theirs)
    else:
        for name in sorted({*mine, *theirs}):
            yield name, mine.get(name), theirs.get(name)
    reference = first.get("reference_sha256")
    for key in MEASURED_ON:
        if key == "frames" and reference is not None and reference == second.get("reference_sha256"):
            continue
        yield TITLES[key], first.get(key, UNKNOWN), second.get(key, UNKNOWN)
