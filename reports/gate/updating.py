"""Replace stored scores by those of new runs: ``emo-bench check --update``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reports.gate.checks import matched
from reports.gate.stored_scores import ScoredRuns, load_stored_scores, write_stored_scores
from reports.gate.thresholds import ThresholdFile
from reports.gate.writing import update_lines


def update_stored_scores(place: Path, thresholds: ThresholdFile, groups: Sequence[ScoredRuns]) -> list[tuple[str, ...]]:
    """Store the scores of the runs that a threshold matches. Other stored scores stay.

    Args:
        place: the file of the stored scores; it is made if it does not exist.
        thresholds: they choose the runs.
        groups: the runs.

    Returns:
        What changes, as :func:`reports.gate.writing.update_lines` gives it.

    Raises:
        UserError: a threshold matches no run, or the file is damaged.
    """
    chosen = {
        group.key: group
        for number, threshold in enumerate(thresholds.threshold, start=1)
        for group in matched(groups, threshold, number)
    }
    before = load_stored_scores(place) if place.exists() else {}
    lines = update_lines(before, chosen.values())
    write_stored_scores(place, {**before, **chosen}.values())
    return lines
