"""Files of a run, through every command that reads finished runs, and the stored scores of ``emo-bench check``."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.fuzz.container_changes import Change, changed_csv, changed_parquet
from tests.fuzz.reader import Place, Reader
from tests.fuzz.value_changes import changed_json

MANIFEST, SCORES, LOSSES = "run.json", "frames.parquet", "train.csv"
THRESHOLDS = """
version = 1
baseline = "baseline.json"
[[threshold]]
metric = "*"
allow_percent = 5
[[threshold]]
metric = "psnr"
at_least = 5
"""


def finished_runs(folder: Path) -> Path:
    """Two finished runs of trivial methods on a small actor, one with losses, and their stored scores.

    Returns the second run.
    """
    from emo_bench.runs import runner
    from emo_bench.runs.plan import RunRequest
    from reports.gate.stored_scores import group_seeds, write_stored_scores
    from reports.rows import read_rows
    from tests.conftest import QUICK_PROTOCOL, write_actor

    os.environ["EMO_BENCH_HOME"] = str(folder / "home")
    actor = folder / "home" / "captures" / "dot"
    actor.mkdir(parents=True)
    write_actor(actor)
    (folder / "quick.toml").write_text(QUICK_PROTOCOL)
    (folder / "thresholds.toml").write_text(THRESHOLDS)
    request = RunRequest(
        "mean-frame", "dot", str(folder / "quick.toml"), profile="smoke", runs_dir=folder / "runs", device="cpu"
    )
    runner.run(request)
    write_stored_scores(folder / "baseline.json", group_seeds(read_rows([folder / "runs"])))
    for path in folder.glob("runs/**/*"):
        # Videos are another reader's; without them a report takes a tenth of the time.
        if path.suffix in (".mp4", ".mkv"):
            path.unlink()
    for path in folder.glob("runs/**/run.json"):
        # Without checksums, as an older version wrote it: with them, no changed file is opened at all.
        manifest = json.loads(path.read_text())
        del manifest["manifest_sha256"]
        for stage in manifest["stages"].values():
            del stage["files"], stage["other_files"]
        path.write_text(json.dumps(manifest))
    run = next(folder.glob("runs/*/*/nearest-frame/*/run.json")).parent
    losses = "".join(f"{10 * i},{1 / (i + 1):.6f},{0.5**i:.6f}\n" for i in range(12))
    (run / LOSSES).write_text(f"step,loss,perceptual\n{losses}")
    return run


def _prepare(name: str) -> Callable[[Path], Sequence[bytes]]:
    return lambda folder: [(finished_runs(folder) / name).read_bytes()]


def _open(name: str) -> Callable[[Path, Path], Place]:
    """The run's file of that name, beside a sound run."""

    def open_run(prepared: Path, scratch: Path) -> Place:
        os.environ["EMO_BENCH_HOME"] = str(prepared / "home")
        shutil.copytree(prepared / "runs", scratch / "runs")
        run = next(scratch.glob("runs/*/*/nearest-frame/*"))
        sound = next(scratch.glob("runs/*/*/mean-frame/*"))

        def place(content: bytes) -> Sequence[Any]:
            (run / name).write_bytes(content)
            return doors(scratch, run, sound, prepared / "thresholds.toml")

        return place

    return open_run


def doors(scratch: Path, run: Path, sound: Path, thresholds: Path) -> Sequence[Callable[[], object]]:
    """``report``, ``show``, ``compare`` and ``check`` over a run that may be damaged and one that is not."""

    def report() -> None:
        from emo_bench.runs.finished import find_runs
        from reports.pages.html import PageOptions
        from reports.publishing import publish

        out = scratch / "report"
        publish(find_runs([scratch / "runs"]), out, PageOptions(clips=False))
        json.loads((out / "report.json").read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        require_printable((out / "report.md").read_text(encoding="utf-8"))

    def show() -> None:
        from rich.console import Console

        from reports.pages.terminal import run_record, show_run

        file = io.StringIO()
        show_run(run, Console(file=file, width=110, highlight=False))
        require_printable(file.getvalue())
        json.dumps(run_record(run))

    def compare() -> None:
        from rich.console import Console

        from reports.compare.paired import as_json, compare_sides
        from reports.compare.sides import pair_sides
        from reports.compare.writing import print_comparison

        pairs, _ = pair_sides([run, sound])
        file = io.StringIO()
        for a, b in pairs:
            comparison = compare_sides(a, b)
            print_comparison(comparison, Console(file=file, width=160), True)
            json.dumps(as_json(comparison))
        require_printable(file.getvalue())

    return report, show, compare, lambda: check([run], thresholds, None)


def check(runs: Sequence[Path], thresholds: Path, baseline: Path | None) -> None:
    """``emo-bench check`` with both of its files."""
    from reports.gate import writing as gate_pages
    from reports.gate.checks import check_runs
    from reports.gate.stored_scores import group_seeds, load_stored_scores
    from reports.gate.thresholds import load_thresholds
    from reports.rows import read_rows

    file = load_thresholds(thresholds)
    place = baseline or file.baseline
    assert place is not None
    outcomes = check_runs(group_seeds(read_rows(runs, finished_only=False)), file, load_stored_scores(place))
    ElementTree.fromstring(gate_pages.junit(outcomes))
    require_printable(gate_pages.markdown(outcomes))
    assert all(outcome.value is None or not math.isnan(outcome.value) for outcome in outcomes if outcome.passed)


def stored_file(folder: Path) -> Sequence[bytes]:
    """Stored scores as ``--update`` writes them."""
    finished_runs(folder)
    return [(folder / "baseline.json").read_bytes()]


def open_stored_scores(prepared: Path, scratch: Path) -> Place:
    """Check a sound run against damaged stored scores."""
    file = scratch / "baseline.json"
    run = next(prepared.glob("runs/*/*/mean-frame/*"))

    def place(content: bytes) -> Sequence[Any]:
        file.write_bytes(content)
        return (lambda: check([run], prepared / "thresholds.toml", file),)

    return place


def require_printable(text: str) -> None:
    """AssertionError for text that would move the cursor, change colours or turn the writing round."""
    for character in text:
        assert character == "\n" or not unprintable(character), f"an output holds {character!r}"


def unprintable(character: str) -> bool:
    """Whether a terminal would obey it and not show it."""
    code = ord(character)
    return (
        code < 32
        or 0x7F <= code < 0xA0
        or character in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


MODULES = (
    "torch", "cv2", "pandas", "pyarrow.parquet", "jinja2", "rich.console", "rich.table", "emo_bench.runs.runner",
    "emo_bench.actors.track", "reports.publishing",
    "reports.pages.terminal", "reports.compare.writing", "reports.gate.writing", "reports.gate.thresholds",
)  # fmt: skip


def _reader(name: str, file: str, change: Change) -> Reader:
    return Reader(name, MODULES, _prepare(file), change, _open(file))


READERS = (
    _reader("run", MANIFEST, changed_json),
    _reader("parquet", SCORES, changed_parquet),
    _reader("losses", LOSSES, changed_csv),
    Reader("stored-scores", MODULES, stored_file, changed_json, open_stored_scores),
)
