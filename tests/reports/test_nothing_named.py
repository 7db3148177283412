"""What commands read when no run is named: the folder runs, or its newest run, said in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from emo_bench.errors import UserError
from emo_bench.runs.finished import newest_finished
from emo_bench.runs.manifest import MANIFEST, write_manifest

AVATAR = "quick/dot/avatar/smoke-s0"


def change(folder: Path, *, method: str | None = None, finished_at: str | None = None, **identity: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    if method is not None:
        manifest["identity"]["method"] = manifest["title"] = method
    if finished_at is not None:
        manifest["stages"]["score"]["finished_at"] = finished_at
    manifest["identity"] |= identity
    write_manifest(folder, manifest)


@pytest.fixture
def avatar(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a method that is not trivial, older than the trivial ones beside it; runs is in the working folder."""
    monkeypatch.chdir(runs.parent)
    trivial = next(path.parent for path in runs.glob("*/dot/mean-frame/*/run.json"))
    folder = trivial.parent.parent / "avatar" / trivial.name
    shutil.copytree(trivial, folder)
    change(folder, method="avatar", finished_at="2001-01-01T00:00:00+00:00")
    return folder.relative_to(runs.parent)


def test_the_newest_is_no_trivial_one_where_there_is_another(avatar: Path, runs: Path) -> None:
    assert newest_finished([Path("runs")]) == avatar
    newer = avatar.parent / "smoke-s1"
    shutil.copytree(avatar, newer)
    change(newer, finished_at="2002-01-01T00:00:00+00:00", seed=1)
    assert newest_finished([Path("runs")]) == newer
    shutil.rmtree(avatar.parent)
    assert newest_finished([Path("runs")]).parent.name.startswith("nearest-frame")


def test_an_edit_is_a_part_of_its_run(avatar: Path) -> None:
    edit = avatar / "edit" / "clay"
    shutil.copytree(avatar, edit)
    change(edit, finished_at="2050-01-01T00:00:00+00:00")
    assert newest_finished([Path("runs")]) == avatar
    # By its own folder it is meant itself.
    assert newest_finished([edit]) == edit


def test_what_is_damaged_or_not_finished_is_never_chosen(avatar: Path, caplog: pytest.LogCaptureFixture) -> None:
    newer = avatar.parent / "smoke-s1"
    shutil.copytree(avatar, newer)
    (newer / MANIFEST).write_text("{")
    unfinished = avatar.parent / "smoke-s2"
    shutil.copytree(avatar, unfinished)
    manifest = json.loads((unfinished / MANIFEST).read_text())
    manifest["stages"].pop("score")
    write_manifest(unfinished, manifest)
    assert newest_finished([Path("runs")]) == avatar
    assert [record.getMessage().split(" ")[:2] for record in caplog.records] == [["left", "out:"]]
    with pytest.raises(
        UserError, match=f"no run in {re.escape(str(unfinished))} is finished: repeat the emo-bench run"
    ):
        newest_finished([unfinished])


def test_show_takes_the_newest(avatar: Path, call: Any) -> None:
    code, out, err = call("show", "--json")
    assert (code, json.loads(out)["run"]) == (0, avatar.as_posix())
    assert err == f"showing {avatar} (the newest finished run in runs)\n"
    above = avatar.parent.parent / "mean-frame"
    code, out, err = call("show", above, "--json")
    assert (code, json.loads(out)["run"]) == (0, f"{above.as_posix()}/{avatar.name}")
    assert err == f"showing {above / avatar.name} (the newest finished run in {above})\n"


def test_compare_takes_the_newest_and_the_trivial_one_beside_it(avatar: Path, call: Any) -> None:
    code, out, err = call("compare", "--json")
    assert code == 0
    (comparison,) = json.loads(out)["comparisons"]
    assert (comparison["a"]["name"], comparison["b"]["name"]) == ("avatar (smoke)", "nearest-frame (smoke)")
    beside = avatar.parent.parent / "nearest-frame" / avatar.name
    assert err == f"comparing {avatar} (the newest finished run in runs) with {beside} (the trivial method beside it)\n"
    assert call("compare", "runs", "--json")[1] == out
    shutil.rmtree(beside)
    (comparison,) = json.loads(call("compare", "--json")[1])["comparisons"]
    assert comparison["b"]["name"] == "mean-frame (smoke)"


def test_compare_asks_where_there_is_nothing_beside_the_newest(avatar: Path, call: Any) -> None:
    """A trivial run of another size is none that can be compared."""
    for name in ("mean-frame", "nearest-frame"):
        shutil.rmtree(avatar.parent.parent / name)
    code, out, err = call("compare")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "name two runs, as in emo-bench compare RUN_A RUN_B" in err


def test_report_check_and_study_read_the_folder_runs(avatar: Path, edits_dir: Path, call: Any) -> None:
    code, out, err = call("report", "--no-videos", "--json")
    assert (code, json.loads(out)["report"], err) == (0, "runs/report.html", "reporting every run in the folder runs\n")
    thresholds = 'version = 1\n[[threshold]]\nmetric = "psnr"\nmethod = "avatar"\nat_least = 0.0\n'
    Path("thresholds.toml").write_text(thresholds, encoding="utf-8")
    code, out, err = call("check", "--thresholds", "thresholds.toml", "--json")
    assert (code, json.loads(out)["passed"], err) == (0, True, "checking every run in the folder runs\n")
    shutil.copytree(edits_dir / "mean-frame-clay", "runs/edited")
    code, _, err = call("study", "build", "--seconds", "0.5")
    assert (code, err.splitlines()[0]) == (0, "using every finished edit in the folder runs")
    assert Path("study/study.html").is_file()


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "missing"])
@pytest.mark.parametrize(
    "command",
    [["show"], ["compare"], ["report"], ["check", "--thresholds", "thresholds.toml"], ["study", "build"]],
    ids=lambda words: words[0],
)
def test_without_runs_one_line_says_how_to_make_one(
    command: list[str], empty: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thresholds.toml").write_text('version = 1\n[[threshold]]\nmetric = "psnr"\nat_least = 0.0\n')
    if empty:
        (tmp_path / "runs").mkdir()
    code, out, err = call(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("emo-bench: runs") and err.endswith("make a run with: emo-bench run\n")
    assert {path.name for path in tmp_path.iterdir()} <= {"thresholds.toml", "runs"}
