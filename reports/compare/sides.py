"""Which runs stand on which side of a comparison, and on what common ground."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun, find_runs, load_run, open_runs
from emo_bench.runs.manifest import MANIFEST
from reports.comparison import Row

# What two runs must have in common, in the order in which a difference is named.
GROUND = ("smoke", "protocol", "protocol version", "protocol hash", "split", "resolution_px", "style")
SUBJECT = ("actor", "actor sha256", "split sha256")


def facts(row: Row) -> dict[str, Any]:
    """The values of ``GROUND`` and ``SUBJECT`` of a run."""
    identity = row.identity
    protocol, split, actor = identity["protocol"], identity["split"], identity["actor"]
    return {
        "smoke": row.run.manifest["smoke"],
        "protocol": protocol["name"],
        "protocol version": protocol["version"],
        "protocol hash": protocol["hash"],
        "split": split["name"],
        "resolution_px": identity["resolution_px"],
        "style": row.style,
        "actor": actor["name"],
        "actor sha256": actor["sha256"],
        "split sha256": split["sha256"],
    }


def ground_of(row: Row) -> tuple[Any, ...]:
    """Equal for runs that may be compared on the same subjects."""
    known = facts(row)
    return tuple(known[name] for name in GROUND)


def subject_of(row: Row) -> tuple[str, str, str]:
    """Actor, its capture and its frames: equal for runs whose frames can be paired."""
    known = facts(row)
    return known["actor"], known["actor sha256"], known["split sha256"]


def first_difference(one: Row, other: Row) -> str | None:
    """The first fact in which two runs differ so that they must not be compared, with both values."""
    mine, theirs = facts(one), facts(other)
    for name in (*GROUND, *SUBJECT):
        if mine[name] != theirs[name]:
            return f"{name}: {_short(mine[name])} and {_short(theirs[name])}"
    return None


def contestant_name(row: Row) -> str:
    """Method, settings and profile; runs that differ in actor and seed only are of one contestant."""
    settings = ",".join(f"{key}={value}" for key, value in sorted(row.identity["settings"].items()))
    # The resolution of a stand-in follows the method beside it.
    shown = f"+{settings}" if settings and not row.trivial else ""
    return f"{row.identity['method']}{shown} ({row.identity['profile']})"


@dataclass(frozen=True)
class Side:
    """Runs of one contestant on one ground, by subject; several runs of a subject are seeds."""

    name: str
    by_subject: Mapping[tuple[str, str, str], tuple[Row, ...]]

    @property
    def rows(self) -> list[Row]:
        """All its runs."""
        return [row for rows in self.by_subject.values() for row in rows]


def read_rows(
    paths: Sequence[Path], method: str | None = None, *, finished_only: bool = True, notes: list[str] | None = None
) -> list[Row]:
    """The finished runs at the given paths: a run's folder is that run alone, another one all runs below it.

    Args:
        paths: folders.
        method: a glob that the name of the method must match.
        finished_only: leave out what is not finished or damaged below a folder, instead of refusing it.
        notes: takes a line for each damaged run that is left out.

    Raises:
        UserError: there is none; one that was given by its folder is not finished or damaged.
    """
    runs: dict[Path, FinishedRun] = {}
    for path in paths:
        folders = [path] if (path / MANIFEST).is_file() else find_runs([path])
        if path in folders or not finished_only:
            runs |= {folder: load_run(folder) for folder in folders}
            continue
        opened = open_runs(folders)
        runs |= {run.path: run for run in opened.finished}
        if notes is not None:
            notes += [f"left out: {reason}" for reason in opened.damaged.values()]
    rows = [Row(run) for run in runs.values()]
    chosen = [row for row in rows if method is None or fnmatch.fnmatchcase(row.identity["method"], method)]
    if not chosen:
        where = ", ".join(map(str, paths))
        raise UserError(f"{where}: no finished run" + (f" of a method like {method!r}" if method and rows else ""))
    return chosen


def sort_into_sides(rows: Iterable[Row]) -> dict[tuple[Any, ...], dict[str, Side]]:
    """Sides by ground and name.

    Raises:
        UserError: two runs have the same subject, contestant and seed.
    """
    sorted_rows: dict[tuple[Any, ...], dict[str, dict[tuple[str, str, str], list[Row]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        of_subject = sorted_rows[ground_of(row)][contestant_name(row)][subject_of(row)]
        for other in of_subject:
            if other.identity["seed"] == row.identity["seed"]:
                raise UserError(
                    f"{other.run.path} and {row.run.path} are the same contestant, actor and seed: "
                    "give exactly two folders, one a side"
                )
        of_subject.append(row)
    return {
        ground: {
            name: Side(name, {s: tuple(sorted(r, key=lambda row: row.identity["seed"])) for s, r in by.items()})
            for name, by in sides.items()
        }
        for ground, sides in sorted_rows.items()
    }


def pair_sides(paths: Sequence[Path], method: str | None = None) -> tuple[list[tuple[Side, Side]], list[str]]:
    """The pairs that the arguments of ``emo-bench compare`` mean, and notes on what is left out.

    Two paths are two sides: A with B; where they hold several contestants, each with its namesake. More paths, or
    one, are sorted by contestant: that of the first run with each of the others.

    Raises:
        UserError: nothing can be compared; the line says why.
    """
    notes: list[str] = []
    pairs = _two_folders(paths, method, notes) if len(paths) == 2 else _by_contestant(paths, method, notes)
    kept = []
    for a, b in pairs:
        common = [subject for subject in a.by_subject if subject in b.by_subject]
        for side, other in ((a, b), (b, a)):
            for subject, rows in side.by_subject.items():
                if subject not in other.by_subject:
                    reason = first_difference(rows[0], other.rows[0]) or "actor"
                    notes.append(f"left out: {rows[0].run.path}: no run of the other side with it ({reason})")
        if common:
            kept.append((_restricted(a, common), _restricted(b, common)))
    if not kept:
        first = pairs[0]
        gap = first_difference(first[0].rows[0], first[1].rows[0])
        raise UserError(
            f"{first[0].rows[0].run.path} and {first[1].rows[0].run.path} cannot be compared: they differ in {gap}"
        )
    return kept, notes


def _two_folders(paths: Sequence[Path], method: str | None, notes: list[str]) -> list[tuple[Side, Side]]:
    rows = [read_rows([path], method, notes=notes) for path in paths]
    first, second = map(sort_into_sides, rows)
    pairs = []
    for ground in first:
        theirs = second.get(ground, {})
        if len(first[ground]) == 1 and len(theirs) == 1:
            pairs.append((*first[ground].values(), *theirs.values()))
        else:
            pairs += [(side, theirs[name]) for name, side in first[ground].items() if name in theirs]
    if pairs:
        return [_told_apart(a, b, paths) for a, b in pairs]
    gap = first_difference(rows[0][0], rows[1][0])
    if gap is not None:
        raise UserError(f"{paths[0]} and {paths[1]} cannot be compared: they differ in {gap}")
    raise UserError(
        f"{paths[0]} holds runs of {_names(first)}, {paths[1]} of {_names(second)}: "
        "give run folders, or choose with --method"
    )


def _by_contestant(paths: Sequence[Path], method: str | None, notes: list[str]) -> list[tuple[Side, Side]]:
    rows = read_rows(paths, method, notes=notes)
    sorted_rows = sort_into_sides(rows)
    reference = contestant_name(rows[0])
    pairs = [
        (sides[reference], side)
        for sides in sorted_rows.values()
        if reference in sides
        for name, side in sides.items()
        if name != reference
    ]
    if pairs:
        return pairs
    others = [row for row in rows if contestant_name(row) != reference]
    if not others:
        raise UserError(f"all runs are of {reference}: give exactly two folders, one a side")
    raise UserError(
        f"{rows[0].run.path} and {others[0].run.path} cannot be compared: "
        f"they differ in {first_difference(rows[0], others[0])}"
    )


def _told_apart(a: Side, b: Side, paths: Sequence[Path]) -> tuple[Side, Side]:
    """Sides of one name carry their folders' names too."""
    if a.name != b.name:
        return a, b
    return Side(f"{a.name} in {paths[0]}", a.by_subject), Side(f"{b.name} in {paths[1]}", b.by_subject)


def _restricted(side: Side, subjects: Sequence[tuple[str, str, str]]) -> Side:
    return Side(side.name, {subject: side.by_subject[subject] for subject in subjects})


def _names(grounds: Mapping[tuple[Any, ...], Mapping[str, Side]]) -> str:
    return ", ".join(dict.fromkeys(name for sides in grounds.values() for name in sides))


def _short(value: Any) -> str:
    text = str(value)
    return repr(text[:12] + "…") if len(text) == 64 else repr(value)
