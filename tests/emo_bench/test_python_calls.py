"""The calls of ``import emo_bench``: mistakes are one line, results are short to print, nothing of the user changes."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import emo_bench
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.runs.finished import FinishedRun
from emo_bench.runs.log import log_file

Make = Callable[..., emo_bench.RunResult]


@pytest.fixture
def make(actor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a run of nearest-frame in the folder ``runs`` of the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(**changes: object) -> emo_bench.RunResult:
        chosen = {"profile": "smoke", "device": "cpu", "trivial": False, "skip_edit": True} | changes
        return emo_bench.run("nearest-frame", actor, **chosen)  # type: ignore[arg-type]

    return run


def test_a_run_restores_the_log_and_takes_a_seed_of_numpy_and_its_paths_outlive_chdir(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("emo_bench")
    before = log.level, list(log.handlers)
    log.setLevel(logging.ERROR)
    try:
        made = make(seed=np.int64(3), settings={"resolution_px": np.int64(32)})
        assert log.level == logging.ERROR and log.handlers == before[1]
    finally:
        log.setLevel(before[0])
    assert made.manifest["identity"]["seed"] == 3
    assert "score: done" in (made.path / "log.txt").read_text()
    with pytest.raises(SystemExit):
        main(["report", "runs", "--no-videos"])
    assert "report   runs/report.html" in capsys.readouterr().out, "a command prints the folder as it was given"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    opened, report = emo_bench.load_run(made.path), emo_bench.report("runs", "report", videos=False)
    relative = emo_bench.load_run(os.path.relpath(made.path))
    scored = emo_bench.score(relative.path, metrics="psnr")
    monkeypatch.chdir(elsewhere)
    assert made.report.is_file() and report.path.is_file() and relative.edits == {}
    assert relative.path == made.path == tmp_path / "runs" / made.path.relative_to(tmp_path / "runs")
    assert list(scored.means) == ["psnr"], "one name may be given as text"
    _is_short_and_itself([made, opened, report, scored])
    assert opened != relative, "equality of tables is not defined, so a run equals only itself"
    with pytest.raises(UserError, match=r"runs is not a run: give the folder with run\.json"):
        emo_bench.load_run(tmp_path / "runs")


def _is_short_and_itself(results: list[object]) -> None:
    for result in results:
        assert result == result and len({result, result}) == 1
        assert len(repr(result)) < 300
        assert repr(result).startswith(type(result).__name__)


def test_the_log_is_restored_if_the_block_fails(tmp_path: Path) -> None:
    log = logging.getLogger("emo_bench")
    before = log.level, list(log.handlers)
    with pytest.raises(ZeroDivisionError), log_file(tmp_path / "log.txt"):
        raise ZeroDivisionError
    assert (log.level, log.handlers) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1.5}, "seed: give a whole number, not 1.5"),
        ({"seed": True}, "seed: give a whole number, not True"),
        ({"seed": "3"}, "seed: give a whole number, not '3'"),
        ({"seed": -1}, "seed: -1 is not a whole number from 0"),
        ({"settings": ["a=1"]}, "settings: give a mapping"),
        ({"settings": {1: 2}}, "settings: give a mapping"),
        ({"settings": {"clip": ""}}, "the name of the CLIP model is empty"),
        ({"device": 0}, "device: give text, not 0"),
        ({"runs": None}, "runs: give a path"),
        ({"runs": "a\0b"}, "runs: give a path without a null character"),
        ({"trivial": "no"}, "trivial: give True or False, not 'no'"),
    ],
)
def test_a_wrong_argument_of_run_is_one_line(make: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make(**changes)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: emo_bench.load_run(None), "folder: give a path as text or as a Path, not None"),  # type: ignore[arg-type]
        (lambda: emo_bench.load_run("nowhere"), "nowhere is not a run: give the folder with run.json"),
        (lambda: emo_bench.report(None), "runs: give a path or a list of paths, not None"),  # type: ignore[arg-type]
        (lambda: emo_bench.report(["x", 5]), "runs: give a path as text"),  # type: ignore[list-item]
        (lambda: emo_bench.report(video_px=0), "video_px: give 32 to 1024 pixels, not 0"),
        (lambda: emo_bench.report(video_px=-5), "video_px: give 32 to 1024 pixels, not -5"),
        (lambda: emo_bench.score("x", metrics=None), "metrics: give a name or a list of names"),  # type: ignore[arg-type]
        (lambda: emo_bench.score("x", mask_labels=5), "mask_labels: give a list of whole numbers"),  # type: ignore[arg-type]
        (lambda: emo_bench.file_frames("x", None, "1"), "name: give text, not None"),  # type: ignore[arg-type]
        (lambda: emo_bench.edit(5), "run: give a path as text or as a Path, not 5"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_of_another_call_is_one_line(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(message)):
        call()


def test_a_report_that_cannot_be_written_is_one_line(make: Make, tmp_path: Path) -> None:
    make()
    (tmp_path / "afile").write_text("")
    with pytest.raises(UserError, match=r"afile.*: .*give another path"):
        emo_bench.report("runs", "afile", videos=False)
    scored = emo_bench.score(next(Path("runs").rglob("run.json")).parent, metrics=["psnr"])
    with pytest.raises(UserError, match=r"afile.*: .*give another path"):
        scored.write("afile")


def test_an_empty_clip_of_a_score_is_one_line(make: Make) -> None:
    with pytest.raises(UserError, match="the name of the CLIP model is empty"):
        emo_bench.score(make().path, metrics="clip_d", clip="", prompt="a bust", source_prompt="a man")


def test_a_method_may_be_a_path(actor: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.toml"):
        emo_bench.run(tmp_path / "mine.toml", actor, profile="smoke", runs=tmp_path / "runs")


def test_the_notes_say_why_a_metric_has_no_score(make: Make) -> None:
    scored = emo_bench.score(make().path, metrics=["clip_d", "psnr"])
    assert np.isnan(scored.means["clip_d"])
    assert f"clip_d: {scored.records['clip_d']['backend']['detail']}" in scored.notes
    assert not any(note.startswith("psnr: needs") for note in scored.notes)


@pytest.mark.parametrize(
    "name",
    [
        "emo_bench",
        "emo_bench.actors",
        "emo_bench.metrics",
        "emo_bench.perceptual",
        "emo_bench.methods",
        "emo_bench.methods.training",
        "reports",
        "protocols",
        "emo_avatar.stylegan2",
    ],
)
def test_dir_lists_the_public_names(name: str) -> None:
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package))


def test_the_result_of_a_run_is_a_finished_run(make: Make) -> None:
    assert isinstance(make(), FinishedRun)


def test_verify_says_what_differs_and_its_mistakes_are_one_line(make: Make, tmp_path: Path) -> None:
    made = make()
    assert emo_bench.verify(made.path).holds
    scores = made.path / "frames.parquet"
    scores.write_bytes(scores.read_bytes() + b"\0")
    changed = emo_bench.verify(os.path.relpath(made.path), checksums_only=True)
    assert not changed.holds
    assert [check.what for check in changed.checks if check.state == "differs"] == ["frames.parquet"]
    for arguments, words in (
        ({"run": tmp_path}, "is no run: give the folder that holds run.json"),
        ({"run": made.path, "render": True, "checksums_only": True}, "exclude each other"),
        ({"run": made.path, "tolerance": {"psnr": -1}}, "tolerance of psnr: give a number of at least 0"),
        ({"run": made.path, "tolerance": {"no-metric": 1}}, "no-metric"),
        ({"run": made.path, "device": "tpu"}, "there is no device 'tpu'"),
    ):
        with pytest.raises(UserError, match=words) as raised:
            emo_bench.verify(**arguments)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
