"""The cache of stages: what is taken is what was stored, under the key of all that it depends on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.stage_cache import RECORD, keep_stage, stages_taken, take_stage
from emo_bench.methods.training.stage_clock import read_seconds, write_seconds

INPUTS = {"method": "m", "train": [1, 2, 3]}
NAMES = ["init.pt", "notes.json"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "study"


def run_of(study: Path, name: str, seed: int = 0) -> Workspace:
    folder = study / name / "smoke-s0"
    folder.mkdir(parents=True)
    return Workspace(folder, "smoke", seed, cache=study / "ablation" / "cache")


def finished(study: Path, name: str = "ours", content: bytes = b"weights") -> Workspace:
    """A run that did the stage in three seconds and stored it."""
    workspace = run_of(study, name)
    (workspace.folder / "init.pt").write_bytes(content)
    (workspace.folder / "notes.json").write_bytes(b"{}")
    write_seconds(workspace.folder, {"init": 3.0})
    keep_stage(workspace, "init", INPUTS, NAMES)
    return workspace


def test_a_stored_stage_is_taken_with_its_seconds_and_its_maker(study: Path) -> None:
    ours, other = finished(study), run_of(study, "other")
    assert take_stage(other, "init", INPUTS, NAMES)
    assert [(other.folder / name).read_bytes() for name in NAMES] == [b"weights", b"{}"]
    assert (other.folder / "init.pt").stat().st_ino == (ours.folder / "init.pt").stat().st_ino, "one file, three names"
    assert read_seconds(other.folder) == {"init": 3.0}
    assert stages_taken(other.folder) == {"init": "ours/smoke-s0"} and stages_taken(ours.folder) == {}


@pytest.mark.parametrize(
    ("changed", "inputs", "stage"),
    [
        ({"seed": 1}, INPUTS, "init"),
        ({"device": "cuda:0"}, INPUTS, "init"),
        ({}, {**INPUTS, "train": [1, 2]}, "init"),
        ({}, INPUTS, "second"),
        ({"cache": None}, INPUTS, "init"),
    ],
)
def test_what_differs_is_not_taken(study: Path, changed: dict, inputs: dict, stage: str) -> None:
    finished(study)
    workspace = replace(run_of(study, "other"), **changed)
    assert not take_stage(workspace, stage, inputs, NAMES)
    assert list(workspace.folder.iterdir()) == []


def test_another_version_is_not_taken(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(study)
    monkeypatch.setattr("emo_bench.methods.training.stage_cache.__version__", "99")
    assert not take_stage(run_of(study, "other"), "init", INPUTS, NAMES)


def test_without_a_cache_nothing_is_stored(study: Path) -> None:
    workspace = replace(run_of(study, "ours"), cache=None)
    keep_stage(workspace, "init", INPUTS, NAMES)
    assert list(workspace.folder.iterdir()) == [] and not (study / "ablation").exists()


def test_a_file_that_the_stage_did_not_leave_is_an_error(study: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"init\.pt is missing: stage init did not leave it"):
        keep_stage(run_of(study, "ours"), "init", INPUTS, NAMES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda index, stored: index.write_bytes(b"{"),
        lambda index, stored: index.write_bytes(b"[]"),
        lambda index, stored: index.write_bytes(b"[" * 100_000),
        lambda index, stored: index.write_bytes(index.read_bytes().replace(b"3.0", b"NaN")),
        lambda index, stored: index.write_bytes(index.read_bytes().replace(b"3.0", b"-5")),
        lambda index, stored: index.write_bytes(index.read_bytes().replace(b'"init.pt": "', b'"init.pt": "../../')),
        lambda index, stored: (stored.unlink(), stored.write_bytes(b"weight5")),
        lambda index, stored: stored.unlink(),
    ],
)
def test_damage_is_told_and_mended_by_the_next_run(study: Path, damage, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    ours = finished(study)
    assert ours.cache is not None
    (index,), (stored,) = ours.cache.glob("init-*.json"), ours.cache.glob("*.pt")
    damage(index, stored)
    other = run_of(study, "other")
    assert not take_stage(other, "init", INPUTS, NAMES)
    assert "the stage is done again" in caplog.text and list(other.folder.iterdir()) == []
    assert (ours.folder / "init.pt").read_bytes() == b"weights"
    finished(study, "mended")
    assert take_stage(other, "init", INPUTS, NAMES)


def test_a_damaged_record_is_left_aside(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = run_of(study, "ours")
    (workspace.folder / RECORD).write_text("[")
    assert stages_taken(workspace.folder) == {} and RECORD in caplog.text


def test_processes_may_fill_the_cache_at_the_same_time(study: Path) -> None:
    script = (
        "import sys, pathlib\nfrom emo_bench.methods.interface import Workspace\n"
        "from emo_bench.methods.training.stage_cache import keep_stage, take_stage\n"
        "folder, cache, mine = map(pathlib.Path, sys.argv[1:])\nfor number in range(40):\n"
        "    workspace = Workspace(folder, 'smoke', 0, cache=cache)\n    inputs = {'number': number}\n"
        "    (folder / 'init.pt').unlink(missing_ok=True)\n"
        "    (folder / 'init.pt').write_bytes(b'weights' + str(mine).encode() * 1000)\n"
        "    keep_stage(workspace, 'init', inputs, ['init.pt'])\n    (folder / 'init.pt').unlink()\n"
        "    assert take_stage(workspace, 'init', inputs, ['init.pt'])\n"
        "    assert (folder / 'init.pt').read_bytes()[:7] == b'weights'\n"
    )
    # The contents differ, as if a stage were not reproducible: whoever takes one must still get one whole.
    workspaces = [run_of(study, name) for name in ("a", "b", "c")]
    at_work = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(workspace.folder), str(workspace.cache), workspace.folder.parent.name],
            stderr=subprocess.PIPE,
        )
        for workspace in workspaces
    ]
    for process in at_work:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    cache = workspaces[0].cache
    assert cache is not None and not list(cache.glob(".*.part"))
    assert len(list(cache.glob("init-*.json"))) == 40
    assert all(
        set(json.loads(path.read_text())) == {"stage", "files", "seconds", "made_by"} for path in cache.glob("*.json")
    )


OTHER = """
import pathlib, sys, time
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training.stage_cache import keep_stage, take_stage
folder, cache = map(pathlib.Path, sys.argv[1:])
workspace = Workspace(folder, "smoke", 0, cache=cache)
inputs = {"method": "m", "train": [1, 2, 3]}
assert not take_stage(workspace, "init", inputs, ["init.pt"])
(folder / "claimed").touch()
while not (folder / "go on").exists():
    time.sleep(0.02)
(folder / "init.pt").write_bytes(b"theirs")
keep_stage(workspace, "init", inputs, ["init.pt"])
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_stage_that_another_process_computes_is_waited_for(
    study: Path, killed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "emo_bench")
    theirs, ours = run_of(study, "theirs"), run_of(study, "ours")
    process = subprocess.Popen([sys.executable, "-c", OTHER, str(theirs.folder), str(theirs.cache)])
    end = time.monotonic() + 60
    while not (theirs.folder / "claimed").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    go_on = process.kill if killed else (theirs.folder / "go on").touch
    threading.Timer(0.5, go_on).start()
    taken = take_stage(ours, "init", INPUTS, ["init.pt"])
    process.wait(timeout=30)
    assert "waiting for another run that does stage init" in caplog.text
    assert taken == (not killed), "who was killed left nothing: this process does the stage itself"
    if taken:
        assert (ours.folder / "init.pt").read_bytes() == b"theirs"
    else:
        (ours.folder / "init.pt").write_bytes(b"ours")
        keep_stage(ours, "init", INPUTS, ["init.pt"])
        other = run_of(study, "other")
        assert take_stage(other, "init", INPUTS, ["init.pt"])


@pytest.mark.parametrize("block", ["cache", "index", "stored"])
def test_a_cache_that_cannot_be_written_does_not_end_a_fit(
    study: Path, block: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = finished(study)
    assert first.cache is not None
    paths = {"cache": first.cache, "index": next(first.cache.glob("init-*")), "stored": next(first.cache.glob("*.pt"))}
    if block == "cache":
        shutil.rmtree(first.cache)
        first.cache.write_text("a file where the folder should be")
    else:
        paths[block].unlink()
        paths[block].mkdir()
        (paths[block] / "full").touch()
    other = run_of(study, "other")
    assert not take_stage(other, "init", INPUTS, NAMES)
    finished(study, "second")
    assert "stage init is not stored in" in caplog.text


def test_control_characters_of_an_index_reach_no_log(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = finished(study)
    assert ours.cache is not None
    (index,) = ours.cache.glob("init-*.json")
    index.write_text(index.read_text().replace("ours/smoke-s0", "ours\\u001b[2J"))
    caplog.set_level("INFO", logger="emo_bench")
    assert take_stage(run_of(study, "other"), "init", INPUTS, NAMES)
    assert "\x1b" not in caplog.text and "ours" in caplog.text
