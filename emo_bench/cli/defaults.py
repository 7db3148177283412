"""Defaults of a command when the user names nothing. A line on stderr names them, because stdout may be JSON."""

import sys
from pathlib import Path

from emo_bench.text.plain_text import printable

METHOD = "emo-avatar"
ACTOR = "1"
RUNS = Path("runs")


def announce(line: str) -> None:
    """Print a line on stderr."""
    print(printable(line), file=sys.stderr)


def method_and_actor(method: str | None, actor: str | None) -> tuple[str, str]:
    """Return the method and the actor of ``run``; print a line about those that the user did not name."""
    chosen = {"method": METHOD} if method is None else {}
    chosen |= {"actor": ACTOR} if actor is None else {}
    if chosen:
        names = ", ".join(f"{kind} {name}" for kind, name in chosen.items())
        options = " and ".join(f"--{kind}" for kind in chosen)
        announce(f"{names} ({'the default' if len(chosen) == 1 else 'the defaults'}; choose with {options})")
    return method or METHOD, actor or ACTOR


def all_runs(runs: list[Path] | None, action: str) -> list[Path]:
    """Return the named folders, or the folder ``runs``; ``action`` says in the message what the command does.

    Raises:
        UserError: nothing was named, and ``runs`` is missing or holds no run.
    """
    if runs:
        return runs
    from emo_bench.runs.finished import find_runs

    find_runs([RUNS])
    announce(f"{action} in the folder {RUNS}")
    return [RUNS]
