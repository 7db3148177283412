"""Which runs are side A and side B of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_bench.errors import UserError
from reports.ground import TABLE, Contestant, Subject, differing_values
from reports.rows import Row, read_rows, repeats, same_seed

# What both sides share. Styles are compared one by one, because the interval of a comparison is about actors.
GROUND = (*TABLE, "style")

Ground = tuple[Any, ...]


@dataclass(frozen=True)
class Side:
    """Runs of one contestant on one ground, by subject; several runs of a subject differ in the seed."""

    name: str
    by_subject: Mapping[Subject, tuple[Row, ...]]

    @property
    def rows(self) -> list[Row]:
        """All its runs."""
        return [row for rows in self.by_subject.values() for row in rows]


def sort_into_sides(rows: Iterable[Row]) -> dict[Ground, dict[Contestant, Side]]:
    """Sides by ground and contestant.

    Raises:
        UserError: two runs have the same subject, contestant and seed.
    """
    by_ground: dict[Ground, list[Row]] = {}
    for row in rows:
        by_ground.setdefault(tuple(row.facts[name] for name in GROUND), []).append(row)
    sides: dict[Ground, dict[Contestant, Side]] = {}
    for ground, own in by_ground.items():
        sorted_rows = repeats(own)
        for pair in (same_seed(repeated) for by_subject in sorted_rows.values() for repeated in by_subject.values()):
            if pair is not None:
                raise UserError(
                    f"{pair[0].run.path} and {pair[1].run.path} have the same method, settings, profile, actor and "
                    "seed: give exactly two folders, one for each side"
                )
        sides[ground] = {made_by: Side(made_by.name, by_subject) for made_by, by_subject in sorted_rows.items()}
    return sides


def pair_sides(paths: Sequence[Path], method: str | None = None) -> tuple[list[tuple[Side, Side]], list[str]]:
    """The pairs that the arguments of ``emo-bench compare`` mean, and notes on what is left out.

    Two paths are the two sides, A and B. If they hold several contestants, each contestant of A is compared with the
    same one of B. If there are more paths, or one, the contestant of the first run is A, and each other one is a B.

    Raises:
        UserError: nothing can be compared; the message says why.
    """
    notes: list[str] = []
    pairs = _two_folders(paths, method, notes) if len(paths) == 2 else _first_with_others(paths, method, notes)
    kept = []
    for a, b in pairs:
        common = [subject for subject in a.by_subject if subject in b.by_subject]
        for side, other in ((a, b), (b, a)):
            for subject, rows in side.by_subject.items():
                if subject not in other.by_subject:
                    gap = differing_values(rows[0].facts, other.rows[0].facts)
                    notes.append(f"left out: {rows[0].run.path}: the other side has no run like it ({gap})")
        if common:
            kept.append((_restricted(a, common), _restricted(b, common)))
    if not kept:
        first, second = pairs[0]
        raise UserError(_incomparable(first.rows[0].run.path, second.rows[0].run.path, first.rows[0], second.rows[0]))
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
            pairs += [(side, theirs[made_by]) for made_by, side in first[ground].items() if made_by in theirs]
    if pairs:
        return [_told_apart(a, b, paths) for a, b in pairs]
    if differing_values(rows[0][0].facts, rows[1][0].facts) is not None:
        raise UserError(_incomparable(paths[0], paths[1], rows[0][0], rows[1][0]))
    raise UserError(
        f"{paths[0]} holds runs of {_names(first)}, and {paths[1]} holds runs of {_names(second)}: "
        "give run folders, or choose a method with --method"
    )


def _first_with_others(paths: Sequence[Path], method: str | None, notes: list[str]) -> list[tuple[Side, Side]]:
    rows = read_rows(paths, method, notes=notes)
    reference = rows[0].contestant
    pairs = [
        (sides[reference], side)
        for sides in sort_into_sides(rows).values()
        if reference in sides
        for made_by, side in sides.items()
        if made_by != reference
    ]
    if pairs:
        return pairs
    others = [row for row in rows if row.contestant != reference]
    if not others:
        raise UserError(f"all runs are of {reference.name}: give exactly two folders, one for each side")
    raise UserError(_incomparable(rows[0].run.path, others[0].run.path, rows[0], others[0]))


def _incomparable(one: Path, other: Path, row: Row, other_row: Row) -> str:
    gap = differing_values(row.facts, other_row.facts)
    return f"{one} and {other} cannot be compared: they differ in {gap}"


def _told_apart(a: Side, b: Side, paths: Sequence[Path]) -> tuple[Side, Side]:
    """Add the folders to the names of two sides that have the same name."""
    if a.name != b.name:
        return a, b
    return Side(f"{a.name} in {paths[0]}", a.by_subject), Side(f"{b.name} in {paths[1]}", b.by_subject)


def _restricted(side: Side, subjects: Sequence[Subject]) -> Side:
    return Side(side.name, {subject: side.by_subject[subject] for subject in subjects})


def _names(grounds: Mapping[Ground, Mapping[Contestant, Side]]) -> str:
    return ", ".join(dict.fromkeys(made_by.name for sides in grounds.values() for made_by in sides))
