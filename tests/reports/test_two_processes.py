"""A report that two processes make is that of one process, whatever happens to the second."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas
import pytest

import emo_bench
from emo_bench.errors import UserError
from emo_bench.runs.finished import find_runs, open_runs
from emo_bench.runs.manifest import read_manifest, write_manifest
from emo_bench.system import second_process as module
from emo_bench.system.second_process import NoAnswer, SecondProcess, second_process
from reports import publishing, reading
from reports.reading import open_together
from reports.rows import Row
from reports.tables import read_groups


@pytest.fixture
def helper() -> Iterator[SecondProcess]:
    made = SecondProcess()
    yield made
    made.close()


@pytest.fixture
def folders(runs: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Four runs and their edits: two are damaged and one is unfinished. Each is a share of its own."""
    monkeypatch.setattr(reading, "SHARE", 1)
    found = find_runs([runs])
    (found[0] / "frames.parquet").write_bytes(b"PAR1")
    (found[-1] / "frames.parquet").unlink()
    manifest = read_manifest(found[1])
    del manifest["stages"]["score"]["finished_at"]
    write_manifest(found[1], manifest)
    return found


def same(folders: list[Path], helper: SecondProcess) -> bool:
    """Open the runs with and without the helper, and compare everything; return whether the helper sent a run."""
    alone = open_runs(folders)
    together, cells = open_together(folders, helper)
    assert list(together.damaged.items()) == list(alone.damaged.items()) and len(alone.damaged) == 2
    assert together.unfinished == alone.unfinished == (folders[1],)
    for one, other in zip(alone.finished, together.finished, strict=True):
        assert (one.path, one.manifest, one.means) == (other.path, other.manifest, other.means)
        pandas.testing.assert_frame_equal(one.scores, other.scores, check_exact=True)
        assert one.scores.attrs == other.scores.attrs
        assert repr(Row(one).cells) == repr(Row(other, cells[other]).cells)
    return bool(cells)


def test_two_processes_read_what_one_reads(folders: list[Path], helper: SecondProcess) -> None:
    assert same(folders, helper)


def test_equal_entries_of_runs_from_both_processes_are_one_object(
    runs: Path, helper: SecondProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If each run had records of its own, 10,000 runs would need 1 GiB."""
    monkeypatch.setattr(reading, "SHARE", 1)
    opened, _ = open_together(find_runs([runs]), helper)
    machines = {id(run.manifest["stages"]["fit"]["machine"]) for run in opened.finished}
    assert len(opened.finished) > 2 and len(machines) == 1


def test_the_reports_files_are_equal_to_the_byte(
    runs_dir: Path, tmp_path: Path, helper: SecondProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SHARE", 1)
    monkeypatch.setattr(publishing, "is_drawn", lambda groups: False)
    found = find_runs([runs_dir])
    written = {}
    for name, second in (("one", None), ("two", helper)):
        groups, left_out = read_groups(found, second)
        files = publishing.publish_groups(groups, left_out, tmp_path / "report", None, second)
        written[name] = {file.name: file.read_bytes() for file in files}
    assert written["one"] == written["two"]
    assert set(written["one"]) == {f"report.{end}" for end in ("html", "md", "csv", "tex", "json")} | {
        "report_wide.csv"
    }


def test_a_second_process_that_dies_is_done_without(folders: list[Path], helper: SecondProcess) -> None:
    helper._process.kill()
    helper._process.wait()
    assert same(folders, helper)
    with pytest.raises(NoAnswer):
        helper.answer()


def test_an_error_has_the_words_of_one_process(folders: list[Path], helper: SecondProcess) -> None:
    bad = [folders[0], folders[-1]]
    said = []
    for second in (None, helper):
        with pytest.raises(UserError) as error:
            open_together(bad, second)
        said.append(str(error.value))
    assert said[0] == said[1] and said[0].endswith("(1 more runs are damaged)")


def test_a_function_that_fails_there_gives_no_answer_and_the_process_goes_on(helper: SecondProcess) -> None:
    helper.ask(os.stat, "/no such file")
    with pytest.raises(NoAnswer):
        helper.answer()
    helper.ask(max, 1, 2)
    assert pickle.loads(helper.answer()) == 2


def test_a_small_report_and_one_core_start_no_process(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(module, "SecondProcess", lambda: started.append(1))
    emo_bench.report(runs_dir, tmp_path, videos=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    with second_process(worth=True) as helper:
        assert helper is None and not started
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with second_process(worth=False) as helper:
        assert helper is None and not started


def test_a_package_of_the_users_named_as_ours_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with closing(SecondProcess()) as helper:
        helper.ask(reading.read_share, [])
        assert pickle.loads(helper.answer()) == []


def test_an_entry_of_sys_path_that_is_no_text_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [tmp_path, *sys.path])
    with closing(SecondProcess()) as helper:
        helper.ask(max, 1, 2)
        assert pickle.loads(helper.answer()) == 2


PROGRAM = """
import time
from emo_bench.system.second_process import SecondProcess, second_process
import os
os.sched_getaffinity = lambda pid: {0, 1}
# There is no guard: the second process must not run this script again.
with second_process(worth=True) as helper:
    helper.ask(time.sleep, 2.0)
    print(helper._process.pid, flush=True)
    time.sleep(60)
"""


CLOSED = """
import os, sys
from emo_bench.system.second_process import SecondProcess
try:
    SecondProcess()
except OSError:
    os._exit(3)
"""


def test_a_line_in_the_place_of_a_closed_stream_is_refused() -> None:
    """The second process makes its own stdin and stdout there, and would never get a question."""
    words = ["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, CLOSED]
    assert subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_second_process_ends_with_the_first(number: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert first.stdout is not None
        second = int(first.stdout.readline())
        first.send_signal(number)
        first.wait(timeout=20)
    give_up = time.monotonic() + 20
    while alive(second) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not alive(second)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
