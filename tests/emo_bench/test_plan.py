"""A run is planned once: each method is built once, each file is read once; mistakes are refused before any work."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas
import pytest

import emo_bench
from emo_bench.actors.track import Track
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods import registry
from emo_bench.methods.watched import WatchedMethod
from emo_bench.metrics.registry import may_use_clip
from emo_bench.runs.finished import find_runs
from emo_bench.runs.settings import sorted_settings
from protocols import loader

METHOD = """
import numpy as np
from emo_bench.methods.interface import Method, MethodInfo

class Grey(Method):
    info = MethodInfo("grey", "Grey", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64
    level = 90

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...

    def render(self, capture, indices):
        for i in indices:
            yield np.full((64, 64, 3), self.level, np.uint8)

    def edit(self, style, workspace):
        return Tinted(workspace)

class Tinted(Grey):
    level = 200

class Unedited(Grey):
    info = MethodInfo("unedited", "Unedited", "", "MIT", frozenset({"render"}), (), "a test")
    edit = Method.edit
"""


@pytest.fixture
def method(tmp_path: Path) -> str:
    file = tmp_path / "grey.py"
    file.write_text(METHOD)
    return f"{file}:Grey"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method was built, each edit was made of one, and each protocol and track was read."""
    counts: Counter[str] = Counter()
    build, edit, read, load = registry.build, WatchedMethod.edit, loader._read, Track.load

    def counted_build(cls, workspace):  # type: ignore[no-untyped-def]
        counts[f"build {cls.info.name}"] += 1
        return build(cls, workspace)

    def counted_edit(self, style, workspace):  # type: ignore[no-untyped-def]
        counts[f"edit {self.info.name}"] += 1
        return edit(self, style, workspace)

    def counted_read(path):  # type: ignore[no-untyped-def]
        counts[f"protocol {path.stem}"] += 1
        return read(path)

    def counted_load(path):  # type: ignore[no-untyped-def]
        counts[f"track {path.parent.name}"] += 1
        return load(path)

    monkeypatch.setattr(registry, "build", counted_build)
    monkeypatch.setattr(WatchedMethod, "edit", counted_edit)
    monkeypatch.setattr(loader, "_read", counted_read)
    monkeypatch.setattr(Track, "load", counted_load)
    return counts


def test_a_run_with_an_edit_builds_and_reads_everything_once(
    actor: str, method: str, counted: Counter[str], tmp_path: Path
) -> None:
    made = emo_bench.run(method, actor, profile="smoke", device="cpu", runs=tmp_path / "runs")
    assert made.edit is not None
    assert dict(counted) == {
        "build grey": 1,
        "edit grey": 1,
        "build mean-frame": 1,
        "build nearest-frame": 1,
        "protocol self_reenactment-mini": 1,
        "protocol editing-mini": 1,
        "track dot": 1,
    }


@pytest.fixture
def unknown_metric(tmp_path: Path, quick_protocol_text: str) -> str:
    file = tmp_path / "odd.toml"
    file.write_text(quick_protocol_text.replace('"quick"', '"odd"').replace('"sd"]', '"psnrr"]'))
    return str(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--protocol", "UNKNOWN_METRIC"], "protocol odd: "),
        (["--protocol", "UNKNOWN_METRIC"], "'psnrr'"),
        (["--protocol", "editing-mini"], "protocol editing-mini scores edits"),
        (["--device", "gpu"], "there is no device 'gpu': give cpu or cuda"),
        (["--style", "bronze-statu"], "did you mean bronze-statue?"),
        (["--reference", "nowhere.png", "--prompt", "a bust", "--source-prompt", "a man"], "nowhere.png"),
        (["--method", "emo-avatar", "--set", "prior=no-such-prior"], "no-such-prior"),
        (
            ["--method", "emo-avatar", "--set", "prior=no-such-prior", "--protocol", "QUICK", "--split", "random-12"],
            "no-such-prior",
        ),
        (["--set", "clip=no-such-clip"], "no-such-clip"),
    ],
)
def test_a_mistake_is_refused_before_any_work(
    changes: list[str],
    message: str,
    actor: str,
    method: str,
    unknown_metric: str,
    protocol_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("a stage began")

    monkeypatch.setattr("emo_bench.runs.stages.fit", work)
    files = {"UNKNOWN_METRIC": unknown_metric, "QUICK": protocol_file}
    words = [files.get(word, word) for word in changes]
    if "--method" not in words:
        words += ["--method", method]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--actor", actor, "--profile", "smoke", "--runs", str(tmp_path / "runs"), *words])
    error = capsys.readouterr().err
    assert ended.value.code == 2, error
    assert message in error and error.strip().count("\n") == 0
    assert not (tmp_path / "runs").exists()


def test_an_unknown_metric_of_given_frames_is_refused_before_they_are_read(
    actor: str, unknown_metric: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"protocol odd: .*'psnrr'"):
        emo_bench.file_frames(tmp_path / "nowhere", "mine", actor, protocol=unknown_metric, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_command_and_the_call_make_the_same_run(actor: str, method: str, tmp_path: Path) -> None:
    called = emo_bench.run(
        method, actor, profile="smoke", device="cpu", settings={"edit.steps": 3}, runs=tmp_path / "called"
    )
    with pytest.raises(SystemExit) as ended:
        main(
            shlex.split(
                f"run --method {method} --actor {actor} --profile smoke --device cpu --set edit.steps=3 "
                f"--runs {tmp_path}/commanded"
            )
        )
    assert ended.value.code == 0
    commanded = {
        folder.relative_to(tmp_path / "commanded"): emo_bench.load_run(folder)
        for folder in find_runs([tmp_path / "commanded"])
    }
    assert {folder.relative_to(tmp_path / "called") for folder in called.folders} == set(commanded)
    assert len(commanded) == 4, "the run, its edit and the two trivial methods"
    for folder in called.folders:
        ours, theirs = emo_bench.load_run(folder), commanded[folder.relative_to(tmp_path / "called")]
        assert ours.manifest["identity"] == theirs.manifest["identity"]
        assert list(ours.manifest["identity"]) == list(theirs.manifest["identity"])
        frames = [run.manifest["stages"]["render"]["frames_sha256"] for run in (ours, theirs)]
        assert frames[0] == frames[1]
        pandas.testing.assert_frame_equal(ours.scores, theirs.scores)
    assert called.edit is not None
    assert called.edit.manifest["identity"]["settings"] == {"edit.steps": "3"}


def test_an_edit_of_a_finished_run_is_the_one_that_the_run_makes(actor: str, method: str, tmp_path: Path) -> None:
    together = emo_bench.run(method, actor, profile="smoke", device="cpu", trivial=False, runs=tmp_path / "together")
    alone = emo_bench.run(
        method, actor, profile="smoke", device="cpu", trivial=False, skip_edit=True, runs=tmp_path / "alone"
    )
    assert alone.edit is None and alone.edits == {}
    edited = emo_bench.edit(alone.path, method=method, device="cpu")
    assert together.edit is not None
    assert edited.manifest["identity"] == together.edit.manifest["identity"]
    pandas.testing.assert_frame_equal(edited.scores, together.edit.scores)
    assert [run.path for run in emo_bench.load_run(alone.path).edits.values()] == [edited.path]
    with pytest.raises(UserError, match="steps is a setting of the method"):
        emo_bench.edit(alone.path, method=method, settings={"steps": 3})


def test_settings_are_sorted_by_one_law() -> None:
    given = {"preset": "literal", "edit.steps": 80, "edit.gan": True, "clip": "portraits", "rate": 0.5}
    found = sorted_settings(given)
    assert found.method == {"preset": "literal", "rate": "0.5"}
    assert found.edit == {"steps": "80", "gan": "true"}
    assert found.clip == "portraits"
    assert sorted_settings({"edit.clip": "portraits"}).clip == "auto"


def test_one_clip_scores_the_fit_and_the_edit_and_another_may_train(
    actor: str, method: str, tmp_path: Path, quick_protocol_text: str
) -> None:
    file = tmp_path / "quick.toml"
    file.write_text(quick_protocol_text.replace('"sd"]', '"clip_consistency"]').replace("= 12\n", "= 24\n"))
    request = {"protocol": file, "profile": "smoke", "device": "cpu", "runs": tmp_path / "runs", "trivial": False}
    made = emo_bench.run(method, actor, settings={"clip": "portraits"}, **request)
    assert made.edit is not None
    for run in (made, made.edit):
        score = run.manifest["stages"]["score"]
        assert score["inputs"]["clip"] == "portraits"
        assert score["records"]["clip_consistency" if run is made else "clip_d"]["backend"]["name"] == "clip-portraits"
    assert made.manifest["identity"]["settings"] == {}
    assert made.edit.manifest["identity"]["settings"] == {"edit.clip": "portraits"}
    other = emo_bench.run(method, actor, settings={"clip": "portraits", "edit.clip": "auto"}, **request)
    assert other.edit is not None
    assert other.edit.manifest["identity"]["settings"] == {"edit.clip": "auto"}


def test_a_clip_that_nothing_uses_is_refused(actor: str, method: str, protocol_file: str, tmp_path: Path) -> None:
    request = {"profile": "smoke", "device": "cpu", "runs": tmp_path / "runs", "settings": {"clip": "portraits"}}
    with pytest.raises(UserError, match="has no CLIP scores and no edit is made"):
        emo_bench.run(method, actor, protocol=protocol_file, skip_edit=True, **request)
    with pytest.raises(UserError, match="method unedited cannot edit"):
        emo_bench.run(method.replace("Grey", "Unedited"), actor, protocol=protocol_file, **request)
    with pytest.raises(UserError, match="none of the metrics psnr uses CLIP"):
        emo_bench.score(tmp_path, metrics=["psnr"], clip="portraits")
    assert not (tmp_path / "runs").exists()


def test_a_plug_in_metric_may_use_clip() -> None:
    assert may_use_clip("clip_d") and may_use_clip("path/to/file.py:Mine")
    assert not may_use_clip("psnr")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, emo_bench; names = [emo_bench.run, emo_bench.score, emo_bench.edit, emo_bench.report];"
        "print([name for name in ('torch', 'pandas', 'av', 'cv2') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
