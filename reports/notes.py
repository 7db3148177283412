"""The notes below a table: what is n/a and why, what is not ranked and why, on which frames, what has no interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from emo_bench.methods.clip_method import AVATAR, HOW
from protocols.loader import todays_version
from reports.ground import is_measured
from reports.judges import judge_notes
from reports.numbers import metric_label, percent
from reports.ranking import Group, edited
from reports.rows import Row, row_names

# A note names up to MOST_NAMED rows or actors; of more it names the first, and says how many others there are.
MOST_NAMED, FIRST_NAMED = 6, 3


def score_notes(group: Group) -> list[str]:
    """What a reader of the scores and the ranks of a table should know, one sentence each."""
    return [
        *kind_notes(group),
        *truth_notes(group.rows),
        *absent_notes(group.rows),
        *rank_notes(group),
        *judge_notes(group),
    ]


def kind_notes(group: Group) -> list[str]:
    """What the kinds of a table's rows mean, if there are several or if there are video editors."""
    kinds = group.kinds
    if kinds in ([], [AVATAR]):
        return []
    return [f"Kinds: {'; '.join(HOW[kind] for kind in kinds)}."]


def truth_notes(rows: Sequence[Row]) -> list[str]:
    """Which scores compare with the true pictures of driven avatars."""
    metrics = dict.fromkeys(
        metric
        for row in rows
        for metric, cell in row.cells.items()
        if {metric, cell.record.get("instead_of")} & set(row.truth_metrics) and not cell.reason
    )
    if not metrics:
        return []
    return [
        f"{', '.join(map(metric_label, metrics))}: compared with the true picture of the subject in the driven pose. "
        "The other scores compare with the driver's frame, with the subject's training frames or with nothing."
    ]


def old_records_note(group: Group) -> list[str]:
    """Say that the runs of a table were scored by an older version, which is why they stand apart from newer ones."""
    records = [cell.record for cell in group.rows[0].cells.values()]
    if all("conditions" in record for record in records):
        return []
    return [
        "These runs were scored by an older version, whose records do not name the reference and the frames; newer "
        "runs stand in another table. To score their frames again, give their emo-bench run commands again."
    ]


def old_protocol_note(group: Group) -> list[str]:
    """Say that the runs of a table are of an older version of a protocol, if the protocol is one of the toolkit."""
    named = group.rows[0].identity["protocol"]
    today = todays_version(named["name"])
    if today is None or named["version"] >= today:
        return []
    return [
        f"These runs are of version {named['version']} of the protocol; today's is version {today}, and its runs stand "
        "in another table."
    ]


def absent_notes(rows: Sequence[Row]) -> list[str]:
    """Why scores are n/a, one sentence for each metric and reason."""
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    names = row_names(rows)
    for row in rows:
        for metric, cell in row.cells.items():
            if cell.reason:
                found[metric, cell.reason][row.subject_title].append(names[row])
    return [
        f"{metric_label(metric)} is n/a for {_listed(subjects)}: {reason}."
        for (metric, reason), subjects in found.items()
    ]


def rank_notes(group: Group) -> list[str]:
    """Which rows are not ranked, and on which frames the ranks are where that is not all of them."""
    subjects = range(len(group.subjects))
    return [note for metric in group.metrics for position in subjects for note in _rank_notes(group, position, metric)]


def _rank_notes(group: Group, position: int, metric: str) -> list[str]:
    rows = edited(group.subjects[position])
    if len(rows) < 2 or not is_measured(rows[0].cells[metric].record):
        return []
    about = f"Actor {rows[0].subject_title}, {metric_label(metric)}"
    known = group.standing(position, metric)
    if known.obstacle is not None:
        return [f"{about}: not ranked, because {known.obstacle}."]
    few, common = known.few, known.common
    if not few and known.all_frames:
        return []
    names = row_names(rows)
    why = rows[0].cells[metric].record.get("undefined", "")
    notes = [
        f"{about}: {names[rows[i]]} is not ranked, because it has a score on only {percent(share)} of the frames"
        + (f" (no score: {why})." if why else ".")
        for i, share in few.items()
        if share > 0
    ]
    ranked = [row for i, row in enumerate(rows) if i not in few]
    if not known.all_frames:
        lacking = {names[row]: row.cells[metric].dropped for row in ranked}
        listed = ", ".join(f"{name} has none on {count}" for name, count in lacking.items() if count)
        notes.append(
            f"{about}: ranked on the {int(common.sum())} of {len(common)} frames on which all ranked rows have a "
            f"score; {listed}. The printed means are over the frames of each row."
        )
    return notes


def interval_notes(rows: Sequence[Row]) -> list[str]:
    """Why means have no interval, one sentence for each row and reason; metrics without a score are left out."""
    notes, titles = [], row_names(rows)
    for row in rows:
        metrics: dict[str, list[str]] = {}
        for metric, cell in row.cells.items():
            if cell.finite.withheld and cell.finite.n:
                metrics.setdefault(cell.finite.withheld, []).append(metric_label(metric))
        about = f"Actor {row.subject_title}, {titles[row]}"
        notes += [f"{about}: no interval for {', '.join(names)}, because {why}." for why, names in metrics.items()]
    return notes


def _listed(subjects: dict[str, list[str]]) -> str:
    """``Mean frame (actors 1, 2), INSTA (actor 2)``; of many rows and of many actors the first ones and a number."""
    actors: dict[str, list[str]] = defaultdict(list)
    for subject, names in subjects.items():
        for name in dict.fromkeys(names):
            actors[name].append(subject)
    rows = [f"{name} ({_actors(on)})" for name, on in actors.items()]
    if len(rows) <= MOST_NAMED:
        return ", ".join(rows)
    return f"{', '.join(rows[:FIRST_NAMED])} and {len(rows) - FIRST_NAMED} more rows"


def _actors(names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMED:
        return f"actor{'s' * (len(names) > 1)} {', '.join(names)}"
    return f"{len(names)} actors: {', '.join(names[:FIRST_NAMED])} and {len(names) - FIRST_NAMED} more"
