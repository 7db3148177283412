"""Sweeps through the command line, with a method that leaves a trace: plans, sharing, failures, processes, reports."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pandas as pd
import psutil
import pytest

from emo_bench.cli import main
from emo_bench.progress import format_duration
from emo_bench.runs.finished import load_run
from emo_bench.runs.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
METHOD = """
import os, signal, time
from pathlib import Path
import numpy as np
from emo_bench.errors import UserError
from emo_bench.methods.interface import Method, MethodInfo

HERE = Path(__file__).parent

def trace(word):
    with (HERE / "trace.txt").open("a") as file:
        file.write(word + "\\n")

class Flat(Method):
    info = MethodInfo("flat", "Flat", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train):
        level = self.workspace.settings.get("level", "90")
        trace(f"fit {level} {self.workspace.seed}")
        mended = (HERE / "mended").exists()
        if level == "bad" and not mended:
            raise UserError("this level is bad")
        if level == "bug" and not mended:
            raise ZeroDivisionError("one over nothing")
        if level == "killed" and not mended:
            os.kill(os.getpid(), signal.SIGKILL)
        if level == "starved":
            (HERE / "vmstat").write_text("oom_kill 4")
            os.kill(os.getpid(), signal.SIGKILL)
        while level == "slow" and not mended:
            time.sleep(0.05)
        value = int(level) if level.isdecimal() else 60
        (self.workspace.folder / "level.txt").write_text(str(value))

    def load(self): ...

    def render(self, capture, indices):
        level = int((self.workspace.folder / "level.txt").read_text())
        for i in indices:
            yield np.full((64, 64, 3), level + i % 3, np.uint8)

    def edit(self, style, workspace):
        return Painted(workspace)

class Painted(Flat):
    def fit(self, capture, train):
        trace(f"edit {self.workspace.folder.name}")
        (self.workspace.folder / "level.txt").write_text("200")
"""


class Sweep:
    """Calls the command; `trace` is what the method did so far."""

    def __init__(self, folder: Path, protocol_text: str) -> None:
        self.folder, self.runs = folder, folder / "runs"
        short, long = "held_out_frames = 12\nguard_frames = 3", "held_out_frames = 26\nguard_frames = 5"
        assert short in protocol_text
        self.protocol = folder / "quick.toml"
        self.protocol.write_text(protocol_text.replace(short, long).replace("tail-12", "tail-26"))
        (folder / "flat.py").write_text(METHOD)
        self.method = f"{folder / 'flat.py'}:Flat"
        self.common = ("--profile", "smoke", "--device", "cpu", "--runs", str(self.runs))

    def words(self, *options: str) -> list[str]:
        own = ("--method", self.method, "--actor", "dot", "--protocol", str(self.protocol))
        return ["sweep", *own, *self.common, *options]

    def __call__(self, *options: str) -> tuple[int, str, str]:
        return call(*self.words("--no-trivial", *options))

    @property
    def trace(self) -> list[str]:
        file = self.folder / "trace.txt"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def of(self, settings: str = "", seed: int = 0) -> Path:
        return self.runs / "quick" / "dot" / f"flat{settings}" / f"smoke-s{seed}"

    def record(self, name: str = "by-options") -> dict[str, str]:
        content = json.loads((self.runs / "sweeps" / name / "sweep.json").read_text())
        return {entry["title"].partition(" on ")[0]: entry["state"] for entry in content["runs"]}


def call(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def sweep(tmp_path: Path, actor: str, quick_protocol_text: str) -> Sweep:
    return Sweep(tmp_path, quick_protocol_text)


def test_a_dry_run_shows_every_combination_and_writes_nothing(sweep: Sweep) -> None:
    code, out, _ = call(*sweep.words("--set", "level=1", "--set", "level=2", "--seed", "0", "--seed", "4", "--dry-run"))
    assert code == 0
    assert not sweep.runs.exists() and sweep.trace == []
    shown = [line.split("  ")[1].strip() for line in out.splitlines() if line.startswith("to do")]
    assert shown == [
        "flat level=1 on actor dot",
        "flat level=2 on actor dot",
        "flat level=1 on actor dot, seed 4",
        "flat level=2 on actor dot, seed 4",
        "mean-frame on actor dot",
        "nearest-frame on actor dot",
        "mean-frame on actor dot, seed 4",
        "nearest-frame on actor dot, seed 4",
    ]
    assert "8 to do" in out
    assert "by default: 1 min 00 s for flat (smoke), 10 s for mean-frame (smoke)" in out


def test_the_runs_are_those_of_the_command_run(sweep: Sweep) -> None:
    assert sweep("--set", "level=30", "--style", "comic")[0] == 0
    single = sweep.folder / "single"
    words = sweep.words("--set", "level=30", "--style", "comic", "--no-trivial", "--runs", str(single))
    assert call("run", *words[1:])[0] == 0
    made = sweep.of("+level=30")
    other = single / made.relative_to(sweep.runs)
    for part in ("", "edit/comic"):
        both = [read_manifest(folder / part) for folder in (made, other)]
        assert both[0]["identity"] == both[1]["identity"]
        digests = [manifest["stages"]["render"]["frames_sha256"] for manifest in both]
        assert digests[0] == digests[1]
        pd.testing.assert_frame_equal(*(load_run(folder / part).scores for folder in (made, other)))


def test_the_fit_is_done_once_for_all_edits_and_what_is_finished_is_skipped(sweep: Sweep) -> None:
    styles = ("--style", "comic", "--style", "cartoon")
    code, out, err = sweep(*styles)
    assert code == 0, err
    assert sweep.trace == ["fit 90 0", "edit comic", "edit cartoon"]
    assert "3 runs and edits are done, 0 things are not" in out
    code, out, _ = sweep(*styles, "--style", "older")
    assert code == 0
    assert sweep.trace[3:] == ["edit older"], "only the new edit"
    assert "3 done, 1 to do" in out
    _, out, _ = sweep(*styles, "--dry-run")
    assert "3 done" in out and "to do" not in out
    table = pd.read_csv(sweep.runs / "sweeps" / "by-options" / "report.csv")
    assert set(table["protocol"]) >= {"quick", "editing-mini"}, "one report of runs and edits"
    (sweep.of() / "frames.parquet").write_bytes(b"damaged")
    assert "to do  flat on actor dot" in sweep(*styles, "--dry-run")[1], "a damaged run is made again"


def test_times_of_earlier_runs_are_the_estimate(sweep: Sweep) -> None:
    assert sweep()[0] == 0
    stages = read_manifest(sweep.of())["stages"]
    seconds = round(sum(stages[name]["seconds"] for name in ("fit", "render", "score")))
    out = sweep("--seed", "1", "--dry-run")[1]
    assert f"time: about {seconds} s, 1 process (in this process)" in out
    assert "estimated by earlier runs: 1 of 1" in out and "default" not in out


def test_the_plan_for_slurm_does_not_say_that_all_runs_run_at_once(sweep: Sweep) -> None:
    assert sweep()[0] == 0
    stages = read_manifest(sweep.of())["stages"]
    seconds = sum(stages[name]["seconds"] for name in ("fit", "render", "score"))
    seeds = [word for seed in range(1, 31) for word in ("--seed", str(seed))]
    out = sweep(*seeds, "--executor", "slurm", "--dry-run")[1]
    said = next(line for line in out.splitlines() if line.startswith("time: "))
    assert said.startswith(f"time: from {format_duration(seconds)}, if all run at once that can, to ")
    assert f" to {format_duration(30 * seconds)}, one after the other" in said


def test_a_failure_is_kept_and_never_stops_the_rest(sweep: Sweep) -> None:
    levels = ("--set", "level=bad", "--set", "level=bug", "--set", "level=7", "--style", "comic")
    code, out, _ = sweep(*levels)
    assert code == 1
    assert sweep.trace == ["fit bad 0", "fit bug 0", "fit 7 0", "edit comic"]
    assert sweep.record()["flat level=7"] == "done" and sweep.record()["flat level=bad"] == "failed"
    lines = [line.split() for line in out.splitlines()]
    assert [line for line in lines if line[:2] == ["not", "run"]], "the edits of what failed"
    log = sweep.runs / "sweeps" / "by-options" / "logs" / "quick" / "dot" / "flat+level=bug" / "smoke-s0.log"
    assert str(log) in out and "ZeroDivisionError: one over nothing" in out
    assert 'raise ZeroDivisionError("one over nothing")' in log.read_text(), "the traceback"
    assert (sweep.runs / "sweeps" / "by-options" / "report.html").is_file()
    code, out, _ = sweep(*levels)
    assert code == 1 and len(sweep.trace) == 4, "not tried again"
    assert "4 failed before" in out and "this level is bad" in out
    (sweep.folder / "mended").touch()
    code, out, _ = sweep(*levels, "--retry-failed")
    assert code == 0
    assert sweep.trace[4:] == ["fit bad 0", "edit comic", "fit bug 0", "edit comic"]
    assert set(sweep.record().values()) == {"done"}
    assert json.loads((sweep.runs / "sweeps" / "by-options" / "failed.json").read_text()) == {}


FUSSY = """
    def __init__(self, workspace):
        super().__init__(workspace)
        if workspace.settings.get("level") == "far":
            raise UserError("level far needs weights that are not here")
"""


def test_what_cannot_run_here_is_in_the_plan_and_the_rest_runs(sweep: Sweep) -> None:
    profiles = "    @classmethod\n    def profiles"
    (sweep.folder / "flat.py").write_text(METHOD.replace(profiles, f"{FUSSY}\n{profiles}"))
    levels = ("--set", "level=far", "--set", "level=32")
    code, out, _ = sweep(*levels, "--dry-run")
    assert code == 1 and sweep.trace == []
    refused = [line for line in out.splitlines() if line.startswith("cannot run")]
    assert "Flat level=far on actor dot" in refused[0] and "needs weights that are not here" in refused[0]
    assert sweep(*levels)[0] == 1
    assert sweep.trace == ["fit 32 0"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("resolution_px=7", "mean-frame: --set resolution_px=7: must be at least 32"),
        ("stepz=3", "--set stepz: mean-frame has no setting 'stepz'; its settings: resolution_px"),
        ("edit.steps=3", "--set edit.steps: no edit is made without a style: name a style, or leave the setting out"),
        ("clip=nope", "unknown CLIP model 'nope'; known: auto"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_runs(
    sweep: Sweep, given: str, message: str, dry: tuple[str, ...]
) -> None:
    code, _, err = sweep("--method", "mean-frame", "--set", given, *dry)
    assert code == 2 and message in err.splitlines()[-1]
    assert sweep.trace == [] and not sweep.runs.exists()


FILE = """
version = 1
title = "Mine"
[[grid]]
methods = ["mean-frame"]
actors = ["dot"]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title =", "titel =", "sweep: there is no key 'titel'; did you mean title?"),
        ("methods =", "method =", "grid.0: there is no key 'method'; did you mean methods?"),
        ("[[grid]]", "[[grids]]", "sweep: there is no key 'grids'; did you mean grid?"),
        ("title =", "colour = 1\ntitle =", "sweep: there is no key 'colour'; the keys here: version, title"),
        ('title = "Mine"', "", "title: this key is missing"),
        ('title = "Mine"', "title = 3", "title: must be a text in quotes"),
        ('["dot"]', "[]", "grid.0.actors: needs at least one entry"),
        ('["dot"]', '"dot"', "grid.0.actors: must be a list, as in [1, 2]"),
        ("version = 1", "version = 2", "version: must be 1"),
        ("[[grid]]", '[[grid]]\nseeds = ["a"]', "grid.0.seeds.0: must be a whole number"),
    ],
)
def test_a_mistake_in_a_file_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    code, _, err = call("sweep", str(file), "--dry-run")
    assert code == 2
    assert f"{file}: {message}" in err.splitlines()[-1]


def test_a_process_that_ran_out_of_memory_is_told_from_a_killed_one(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = sweep.folder / "vmstat"
    counter.write_text("oom_kill 3")
    monkeypatch.setattr("emo_bench.system.memory._COUNTER", counter)
    code, out, _ = sweep("--set", "level=starved", "--jobs", "1")
    assert code == 1
    assert "was ended by SIGKILL, because memory ran out (the kernel ended it): give fewer --jobs" in out


EDITOR = """
from emo_bench.methods.interface import MethodInfo, VideoEditor

class Painter(VideoEditor):
    info = MethodInfo("painter", "Painter", "", "MIT", frozenset({"edit"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def edit(self, clip, style):
        for frame in clip.frames:
            yield 255 - frame
"""


def test_each_style_of_a_video_editor_is_a_run_under_the_editing_protocol(sweep: Sweep) -> None:
    (sweep.folder / "painter.py").write_text(EDITOR)
    both = ("--method", f"{sweep.folder / 'painter.py'}:Painter", "--method", "mean-frame")
    code, out, _ = sweep(*both, "--style", "comic", "--style", "older", "--dry-run")
    assert code == 0
    shown = [line.split("  ")[1].strip() for line in out.splitlines() if line.startswith("to do")]
    assert shown == [
        "flat on actor dot",
        "edit comic of flat on actor dot",
        "edit older of flat on actor dot",
        "painter on actor dot, edit comic",
        "painter on actor dot, edit older",
        "mean-frame on actor dot",
    ]
    assert "note: mean-frame cannot edit what it fitted: it makes no edit" in out
    words = ("sweep", *both[:2], "--actor", "dot", *sweep.common)
    assert call(*words, "--style", "comic")[0] == 0
    made = sweep.runs / "editing-mini" / "dot" / "painter+style=comic" / "smoke-s0"
    assert read_manifest(made)["kind"] == "video editor"
    code, out, _ = call(*words, "--dry-run")
    (refused,) = [line for line in out.splitlines() if line.startswith("cannot run")]
    assert "painter" in refused and refused.endswith("it edits videos and does nothing else: give a style")


def test_processes_make_the_same_runs_and_a_killed_one_fails_alone(sweep: Sweep) -> None:
    levels = ("--set", "level=killed", "--set", "level=30", "--set", "level=bad")
    code, out, err = sweep(*levels, "--jobs", "2")
    assert code == 1
    assert sorted(sweep.trace) == ["fit 30 0", "fit bad 0", "fit killed 0"]
    assert sweep.record() == {"flat level=killed": "failed", "flat level=30": "done", "flat level=bad": "failed"}
    assert (
        "ended by SIGKILL; if nobody ended it, memory ran out: give fewer --jobs" in out and "this level is bad" in out
    )
    assert "begin: flat level=killed on actor dot" in err and "1 of 3 done, 2 failed" in err
    manifest = read_manifest(sweep.of("+level=30"))
    assert manifest["stages"]["fit"]["machine"]["threads"] == 1
    in_processes = manifest["stages"]["render"]["frames_sha256"]
    shutil.rmtree(sweep.runs)
    assert sweep("--set", "level=30")[0] == 0
    assert read_manifest(sweep.of("+level=30"))["stages"]["render"]["frames_sha256"] == in_processes


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_terminated_sweep_ends_its_processes_and_continues(sweep: Sweep, number: int, code: int) -> None:
    words = sweep.words("--no-trivial", "--set", "level=slow", "--set", "level=5", "--jobs", "2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (sweep.folder / "err.txt").open("w") as err:
        process = subprocess.Popen([sys.executable, "-m", "emo_bench", *words], env=environment, stderr=err)
    wait_until(lambda: "fit slow 0" in sweep.trace and (sweep.of("+level=5") / "frames.parquet").exists())
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    (sweep.folder / "mended").touch()
    code, out, _ = call(*words)
    assert code == 0 and "what failed before" not in out, "an interruption is no failure"
    assert sweep.trace.count("fit slow 0") == 2


def wait_until(condition: object, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_second_call_at_the_same_time_is_refused(sweep: Sweep) -> None:
    from emo_bench.runs.store import lock_folder

    with lock_folder(sweep.runs / "sweeps" / "by-options"):
        code, _, err = sweep()
    assert code == 2 and "another process works in" in err.splitlines()[-1]


def test_a_file_of_grids(sweep: Sweep) -> None:
    file = sweep.folder / "mine.toml"
    file.write_text(
        f"""
        version = 1
        title = "Mine"
        profile = "smoke"
        trivial = false
        [[grid]]
        methods = ["{sweep.method}"]
        actors = ["dot"]
        protocols = ["{sweep.protocol}"]
        settings = {{ level = [1, 2] }}
        [[grid]]
        methods = ["{sweep.method}", "nearest-frame"]
        actors = ["dot"]
        protocols = ["{sweep.protocol}"]
        seeds = [0, 3]
        """
    )
    code, _, err = call("sweep", str(file), *sweep.common)
    assert code == 0, err
    assert sweep.trace == ["fit 1 0", "fit 2 0", "fit 90 0", "fit 90 3"]
    assert (sweep.runs / "sweeps" / "mine" / "report.html").is_file()


def test_a_video_beside_a_file_replaces_that_of_the_file(sweep: Sweep) -> None:
    """As results-filmed.toml says of --video franck=FILE."""
    file = sweep.folder / "mine.toml"
    file.write_text(FILE.replace('"dot"', '"anna"') + '[videos]\nanna = "nowhere.mp4"\n')
    code, _, err = call("sweep", str(file), "--dry-run", "--video", "anna=elsewhere.mp4")
    assert code == 2
    assert "elsewhere.mp4 is not a file: give the video of actor anna by --video anna=FILE" in err.splitlines()[-1]


def test_the_sweeps_that_come_with_the_toolkit_can_be_planned(sweep: Sweep) -> None:
    assert {line.split()[0] for line in call("sweep", "--list")[1].splitlines()[1:]} == {
        "patch-loss", "results", "results-filmed", "smoke", "table-2", "table-2-filmed",
    }  # fmt: skip
    code, out, err = call("sweep", "smoke", "--dry-run", "--runs", str(sweep.runs))
    assert code == 0, err
    assert "8 to do" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "nerest-frame"], "did you mean nearest-frame?"),
        (["--actor", "nobody"], "nobody"),
        (["--style", "nothing"], "there is no style 'nothing'"),
        (["--protocol", "nothing"], "there is no protocol 'nothing'"),
        (["--method", ""], "methods.1: needs at least 1 character"),
        (["--set", "level"], "'level' is not KEY=VALUE"),
        (["--jobs", "many"], "--jobs many: give a number from 1 to 1000, or auto"),
        (["--jobs", "0"], "--jobs 0: give a number from 1 to 1000, or auto"),
        (["--device", "cuda:0", "--jobs", "2"], "--device cuda:0"),
        (["--name", "../up"], "--name ../up: use letters"),
        (["--video", "anna=nowhere.mp4", "--actor", "anna"], "nowhere.mp4 is not a file"),
        (["smoke"], "leave out --method, or leave out the file"),
        (["--slurm", "time=3"], "--slurm goes with --executor slurm"),
        (["--executor", "slurm", "--jobs", "2"], "--jobs and --executor slurm exclude each other"),
        (["--executor", "slurm", "--slurm", "time"], "'time' is not KEY=VALUE"),
        (["--executor", "slurm"], "there is no srun here"),
    ],
)
def test_mistakes_are_one_line(sweep: Sweep, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(sweep.folder))
    code, _, err = sweep(*options)
    assert code == 2
    assert message in err.splitlines()[-1]
    assert not sweep.runs.exists()


def test_a_wrong_number_of_processes_is_told_before_the_plan(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.cli.sweep._planned", lambda *_, **__: pytest.fail("it was planned"))
    code, _, err = sweep("--jobs", "0")
    assert code == 2 and "--jobs 0: give a number" in err
