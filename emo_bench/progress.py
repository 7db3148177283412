"""The progress display: a bar with the remaining time on a terminal, plain lines elsewhere, always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

PLAIN_INTERVAL_S = 10.0


class Advance(Protocol):
    """Report `n` finished steps, with the numbers worth showing (a loss, a frame rate)."""

    def __call__(self, n: int = 1, **numbers: float) -> None: ...


@contextmanager
def track_progress(total: int, label: str, *, done: int = 0, stream: TextIO | None = None) -> Iterator[Advance]:
    """Yield `advance(n=1, **numbers)` for a loop of `total` steps, `done` of which an earlier call has finished.

    A terminal gets a rich bar with the time left; anything else gets a line at the start, about every
    10 s, and one at the end, so that a log stays readable. Output goes to stderr unless `stream` is given.
    """
    out = sys.stderr if stream is None else stream
    display = _terminal_bar if out.isatty() else _plain_lines
    with display(total, label, out, done) as advance:
        yield advance


@contextmanager
def _terminal_bar(total: int, label: str, out: TextIO, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(label, total=total, completed=done, numbers="")

        def advance(n: int = 1, **numbers: float) -> None:
            bar.advance(task, n)
            if numbers:
                bar.update(task, numbers=_format_numbers(numbers))

        yield advance


@contextmanager
def _plain_lines(
    total: int, label: str, out: TextIO, done: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    started = last_line = clock()
    before = done
    shown: dict[str, float] = {}

    def write(text: str) -> None:
        out.write(f"{label}: {text}\n")
        out.flush()

    def advance(n: int = 1, **numbers: float) -> None:
        nonlocal done, last_line
        done += n
        shown.update(numbers)
        now = clock()
        if now - last_line >= PLAIN_INTERVAL_S and done < total:
            left_s = (now - started) / max(done - before, 1) * (total - done)
            write(f"{done}/{total}, {format_duration(left_s)} left{_suffix(shown)}")
            last_line = now

    write(f"{done}/{total}")
    yield advance
    write(f"{done}/{total} in {format_duration(clock() - started)}{_suffix(shown)}")


def _suffix(numbers: dict[str, float]) -> str:
    return f"  {_format_numbers(numbers)}" if numbers else ""


def _format_numbers(numbers: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def format_duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest_s = divmod(whole, 60)
    return f"{minutes} min {rest_s:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
