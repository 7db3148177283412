"""What a command takes when the user names nothing. It says so in one line on stderr: stdout may be JSON."""

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
    """The method and the actor of ``run``; a line says which of them were not named."""
    chosen = {"method": METHOD} if method is None else {}
    chosen |= {"actor": ACTOR} if actor is None else {}
    if chosen:
        names = ", ".join(f"{kind} {name}" for kind, name in chosen.items())
        options = " and ".join(f"--{kind}" for kind in chosen)
        announce(f"{names} ({'the default' if len(chosen) == 1 else 'the defaults'}; choose with {options})")
    return method or METHOD, actor or ACTOR


def all_runs(runs: list[Path] | None, action: str) -> list[Path]:
    """The folders that were named, else the folder ``runs``; ``action`` says what the command does with its runs.

    Raises:
        UserError: nothing was named, and ``runs`` is missing or holds no run.
    """
    if runs:
        return runs
    from emo_bench.runs.finished import find_runs

    find_runs([RUNS])
    announce(f"{action} in the folder {RUNS}")
    return [RUNS]
