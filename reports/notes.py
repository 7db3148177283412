"""The notes below a table: what is not ranked and why."""

from __future__ import annotations

from reports.numbers import metric_label
from reports.ranking import Group, obstacle


def rank_notes(group: Group) -> list[str]:
    """What a reader of the ranks should know, one sentence each."""
    return [
        f"Actor {rows[0].subject_title}, {metric_label(metric)}: not ranked, because the records differ in {gap}."
        for metric in group.metrics
        for rows in group.subjects
        if (gap := obstacle(rows, metric)) is not None
    ]
