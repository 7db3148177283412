"""Run folders: names, identity, stages, locks, and that nothing half-written is ever seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.runs.finished import find_runs
from emo_bench.runs.manifest import MANIFEST, read_manifest
from emo_bench.runs.store import RunFolder, RunPlace, lock_folder, variant_name

IDENTITY = {
    "protocol": {"name": "p", "version": 1, "hash": "a" * 64}, "split": {"name": "tail-500", "sha256": "b" * 64},
    "actor": {"name": "1", "sha256": "c" * 64}, "method": "m", "profile": "cpu", "seed": 0, "settings": {},
    "resolution_px": 64, "config": {"steps": 1100, "lr": 0.1}, "assets": {},
}  # fmt: skip
FACTS = {
    "title": "x",
    "smoke": False,
    "flags": [],
    "protocol_title": "P",
    "split": {"name": "tail-500", "train": "0-9", "test": "12-13", "faceless": ""},
    "capture": {"source": "video", "fps": 25.0, "frames": 14},
}
FIT = {
    "seconds": 1.0, "memory_mib": 9.0, "frames": 10,
    "machine": {
        "emo_bench": "0", "commit": None, "python": "3", "packages": {}, "platform": "", "processor": "", "cores": 1,
        "device": "cpu",
    },
}  # fmt: skip
RECORD = {
    "metric": "psnr", "version": "1", "direction": "higher", "unit": "dB",
    "backend": {"name": "b", "sha256": None, "detail": ""}, "resolution": "", "resize_filter": "", "region": "",
    "background": "", "value_range": "", "averaging": "",
}  # fmt: skip
DONE = {"fit": FIT, "render": {**FIT, "frames_sha256": "d" * 64}, "score": {**FIT, "records": {"psnr": RECORD}}}
names = st.text(min_size=1, max_size=20).filter(lambda text: "=" not in text and "," not in text)


def place(**changes: object) -> RunPlace:
    fields: dict[str, object] = {
        "protocol": "self_reenactment",
        "split": None,
        "actor": "1",
        "method": "emo-avatar",
        "settings": {},
        "profile": "cpu",
        "seed": 0,
    }
    return RunPlace(**fields | changes)  # type: ignore[arg-type]


def test_folder_is_the_designed_one() -> None:
    runs = Path("runs")
    assert place().folder(runs) == Path("runs/self_reenactment/1/emo-avatar/cpu-s0")
    other = place(split="random-500", settings={"steps": "9", "lr": "0.1"}, seed=3)
    assert other.folder(runs) == Path("runs/self_reenactment@random-500/1/emo-avatar+lr=0.1,steps=9/cpu-s3")


@given(st.dictionaries(names, names, max_size=3), st.dictionaries(names, names, max_size=3))
def test_other_settings_have_another_folder(first: dict[str, str], second: dict[str, str]) -> None:
    assert (variant_name(first) == variant_name(second)) == (first == second)
    name = variant_name(first)
    assert len(name) < 80
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=,-")


def test_a_folder_serves_one_identity(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, IDENTITY, FACTS)
    assert RunFolder.open(tmp_path, IDENTITY, {}).manifest["title"] == "x"
    changed = {**IDENTITY, "config": {"steps": 900, "lr": 0.1}}
    with pytest.raises(UserError, match=r"another config\.steps \(1100, now 900\): remove that folder"):
        RunFolder.open(tmp_path, changed, {})
    with pytest.raises(UserError, match=r"\(1 more differ\)"):
        RunFolder.open(tmp_path, {**changed, "seed": 1}, {})


def test_a_stage_is_done_only_after_its_mark_and_with_its_inputs(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, IDENTITY, FACTS)
    assert run.start("fit") == 1
    assert not run.finished("fit")
    assert RunFolder.open(tmp_path, IDENTITY, {}).start("fit") == 2
    run = RunFolder.open(tmp_path, IDENTITY, {})
    run.finish("fit", **FIT)
    run.start("score")
    run.finish("score", {"psnr": "1"}, **DONE["score"])
    again = RunFolder.open(tmp_path, IDENTITY, {})
    assert again.finished("fit")
    assert again.manifest["stages"]["fit"]["attempts"] == 2
    assert again.finished("score", {"psnr": "1"})
    assert not again.finished("score", {"psnr": "2"})


def test_doing_a_stage_again_takes_the_marks_behind_it_away(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, IDENTITY, FACTS)
    for stage in ("fit", "render", "score"):
        run.start(stage)
        run.finish(stage, **DONE[stage])
    run.start("render")
    again = RunFolder.open(tmp_path, IDENTITY, {})
    assert [again.finished(stage) for stage in ("fit", "render", "score")] == [True, False, False]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_bytes(file, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk gone"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from emo_bench.runs.store import lock_folder\nwith "
        f"lock_folder(Path({str(tmp_path)!r})): pass"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with lock_folder(tmp_path):
        held = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "another process works" in held.stderr
    free = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert free.returncode == 0


def test_finding_runs(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "x" / name).mkdir(parents=True)
        RunFolder.open(tmp_path / "x" / name, IDENTITY, FACTS)
    found = [tmp_path / "x" / "a", tmp_path / "x" / "b"]
    assert find_runs([tmp_path, tmp_path / "x" / "b"]) == found
    with pytest.raises(UserError, match="no such folder"):
        find_runs([tmp_path / "y"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no run"):
        find_runs([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("text", "message"), [("{", "cannot be read"), (json.dumps({"format": 99}), "another version")]
)
def test_a_damaged_manifest_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path)


def refused_run(folder: Path, begun: bool = False, kept: str | None = None) -> None:
    with lock_folder(folder):
        (folder / "log.txt").write_text("no such prior\n")
        if begun:
            RunFolder.open(folder, IDENTITY, FACTS).start("fit")
        if kept:
            (folder / kept).write_text("steps\n")
        raise UserError("no such prior")


@pytest.mark.parametrize("begun", [False, True])
def test_a_refused_run_leaves_no_folder(begun: bool, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "p" / "1" / "m" / "cpu-s0"
    with pytest.raises(UserError, match="no such prior"):
        refused_run(folder, begun)
    assert list(tmp_path.iterdir()) == []
    beside = tmp_path / "runs" / "p" / "1" / "other"
    beside.mkdir(parents=True)
    with pytest.raises(UserError, match="no such prior"):
        refused_run(folder, begun)
    assert list((tmp_path / "runs" / "p" / "1").iterdir()) == [beside]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match=r"runs/p/1 cannot be made .*: write elsewhere with --runs DIR"):
        refused_run(tmp_path / "runs" / "p" / "1", begun=False)
    with pytest.raises(UserError, match=r"runs cannot be made"):
        refused_run(tmp_path / "runs", begun=False)
    assert (tmp_path / "runs").read_text() == "a file"


def test_a_run_that_has_something_to_show_stays_when_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such prior"):
        refused_run(tmp_path / "run", begun=True, kept="train.csv")
    assert read_manifest(tmp_path / "run")["identity"] == IDENTITY
    with lock_folder(tmp_path / "fitted"):
        run = RunFolder.open(tmp_path / "fitted", IDENTITY, FACTS)
        run.start("fit")
        run.finish("fit", **FIT)
    with pytest.raises(UserError, match="no such prior"):
        refused_run(tmp_path / "fitted", begun=False)
    assert read_manifest(tmp_path / "fitted")["stages"]["fit"]["finished_at"]


def test_a_value_that_is_not_a_number_does_not_make_another_run(tmp_path: Path) -> None:
    odd = {**IDENTITY, "config": {"weight": float("nan"), "limit": float("inf"), "pair": (1, -float("inf"))}}
    RunFolder.open(tmp_path, odd, FACTS)
    text = (tmp_path / MANIFEST).read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert RunFolder.open(tmp_path, odd, {}).manifest["identity"]["config"]["weight"] == "nan"
    (tmp_path / MANIFEST).write_text(text.replace('"nan"', "NaN").replace('"-inf"', "-1e999"))
    assert RunFolder.open(tmp_path, odd, {}).manifest["identity"]["config"]["pair"] == [1, "-inf"]


def test_a_record_of_another_metric_is_damage(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, IDENTITY, FACTS)
    for stage in ("fit", "render", "score"):
        run.start(stage)
        run.finish(stage, **DONE[stage])
    text = (tmp_path / MANIFEST).read_text().replace('"metric": "psnr"', '"metric": "ssim"')
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"stages\.score\.records: the record of psnr belongs to metric ssim"):
        read_manifest(tmp_path)


def test_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, IDENTITY, FACTS)
    before = (tmp_path / MANIFEST).read_bytes()
    with pytest.raises(UserError, match=r"described\.parameters: must be a whole number"):
        run.note(described={"parameters": "many"})
    assert (tmp_path / MANIFEST).read_bytes() == before


def test_a_run_json_that_is_a_list_is_told_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("[1, 2]")
    with pytest.raises(UserError, match=r"is damaged: it is not a JSON object: remove the folder"):
        read_manifest(tmp_path)


def test_a_run_json_without_permission_is_not_to_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root reads every file, so the refusal of the system is simulated.
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("emo_bench.runs.manifest.read_json", refused)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\): allow your user to read it") as error:
        read_manifest(tmp_path)
    assert "remove" not in str(error.value)
