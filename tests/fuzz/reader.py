"""What a reader is to the fuzzer: what it needs, its valid files, how they are changed, and the doors that they go
through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.container_changes import Change

# Places a damaged file and returns what the toolkit does with it: one call a command or function.
Place = Callable[[bytes], Sequence[Callable[[], object]]]


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        name: as ``--reader`` takes it.
        imports: modules that are loaded once, before children are forked.
        prepare: makes what the doors need in an empty folder, by the project's own writers, and returns valid files.
        change: a changed file of a valid one.
        open: from the prepared folder and an empty one of the child's own to the placing of files.
    """

    name: str
    imports: tuple[str, ...]
    prepare: Callable[[Path], Sequence[bytes]]
    change: Change
    open: Callable[[Path, Path], Place]
