"""Results of recorded frames that later runs on the same actor use again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from emo_bench.actors import load
from emo_bench.actors.capture import Capture
from emo_bench.actors.kept_folders import kept_folders
from emo_bench.metrics.kept import KeptResults
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import shown_actor


@contextmanager
def kept_results(capture: Capture) -> Iterator[KeptResults | None]:
    """Yield the kept results of a capture's frames; new ones are saved at the end, also after an interruption.

    None if the user has set ``EMO_BENCH_NO_CACHE``.
    """
    folders = kept_folders(capture)
    if not folders:
        yield None
        return
    kept = KeptResults(folders)
    try:
        yield kept
    finally:
        kept.save()


def kept_results_of(frames: Path) -> AbstractContextManager[KeptResults | None]:
    """Return :func:`kept_results` of a run's actor if the folder is a run; for other frames, a context of None."""
    if not (frames / "run.json").is_file():
        return nullcontext()
    return kept_results(load(shown_actor(load_run(frames).manifest["identity"])["name"]))
