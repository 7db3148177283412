"""What became of an input: read, refused in one line, or one of the ways in which a reader fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import UserError
from tests.fuzz.run_files import unprintable

READ, REFUSED = "read", "refused"
BAD_LINE, RAW, CRASH, SLOW, MEMORY = "no clear line", "raw exception", "crash", "too slow", "too much memory"
FINDS = (CRASH, MEMORY, SLOW, RAW, BAD_LINE)
LONGEST_LINE = 2000
ROOT = Path(__file__).resolve().parents[2]
OUT_OF_MEMORY = (
    "cannot allocate memory", "can't allocate memory", "unable to allocate", "bad_alloc", "bad allocation",
    "not enough memory", "malloc",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """``what`` happened: the exception and its message, or the line that is not one; ``place`` in the project,
    file:line.
    """

    outcome: str
    what: str = ""
    place: str = ""

    @property
    def find(self) -> bool:
        """Whether a reader failed."""
        return self.outcome in FINDS

    @property
    def kind(self) -> str:
        """Equal for finds that are one fault."""
        return f"{self.outcome}: {self.what.partition(':')[0][:80]} at {self.place}"


def judge(doors: Sequence[Callable[[], object]]) -> Verdict:
    """Go through all doors; the worst of what happened."""
    verdicts = [_through(door) for door in doors]
    for outcome in (*FINDS, READ, REFUSED):
        for verdict in verdicts:
            if verdict.outcome == outcome:
                return verdict
    raise AssertionError("there is no door")


def line_fault(line: str) -> str | None:
    """Why an error is not one clear line, or None."""
    if not line.strip():
        return "it is empty"
    if len(line) > LONGEST_LINE:
        return f"it has {len(line)} characters"
    bad = next((character for character in line if unprintable(character)), None)
    return None if bad is None else f"it holds {bad!r}"


def _through(door: Callable[[], object]) -> Verdict:
    try:
        door()
    except UserError as error:
        if _lack_of_memory(error):
            return Verdict(MEMORY, _told(error), _place(error))
        fault = line_fault(str(error))
        return Verdict(BAD_LINE, f"UserError: {fault}", _place(error)) if fault else Verdict(REFUSED, str(error))
    # What a reader lets through is what is looked for.
    except BaseException as error:  # noqa: BLE001
        return Verdict(MEMORY if _lack_of_memory(error) else RAW, _told(error), _place(error))
    return Verdict(READ)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]!r}"


def _lack_of_memory(error: BaseException | None) -> bool:
    """Also where a reader made a refusal of it: it asked for memory before it knew that it would need it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)[:2000].lower()
        if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException) -> str:
    """The innermost line of the project that the exception went through."""
    frames = [
        (Path(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and "fuzz" not in Path(frame.filename).parts[len(ROOT.parts) :]
    ]
    return f"{frames[-1][0].relative_to(ROOT)}:{frames[-1][1]}" if frames else ""
