"""A command method for real: small shell and Python commands that succeed, fail, hang, die, or answer wrongly."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_bench import actors
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import EditStyle, Workspace
from emo_bench.runs import runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.plan import RunRequest
from emo_bench.video.lossless import read_lossless

FIT = """
import json, pathlib, sys
import numpy as np
from PIL import Image
data, work, brightness = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
frames = [np.array(Image.open(p)) for p in sorted((data / "frames").iterdir())]
listed = json.loads((data / "transforms_train.json").read_text())["frames"]
assert len(frames) == len(listed), (len(frames), len(listed))
np.save(work / "mean.npy", np.rint(np.mean(frames, axis=0) * brightness).astype(np.uint8))
"""
RENDER = """
import json, pathlib, sys
import numpy as np
from PIL import Image
data, work, out = map(pathlib.Path, sys.argv[1:4])
assert not (data / "frames").exists()
out.mkdir(exist_ok=True)
divisor = int(sys.argv[4]) if len(sys.argv) > 4 else 1
mean = Image.fromarray(np.load(work / "mean.npy") // divisor)
for entry in json.loads((data / "transforms_test.json").read_text())["frames"]:
    mean.save(out / f"{entry['frame']:05d}.png")
"""
FILE = """
name = "shell-mean"
title = "{title}"
licence = "MIT"
fidelity = "a test"
resolution_px = 64
layout = "plain"
prefix = "{prefix}"
workdir = "{workdir}"
[settings]
brightness = "1.0"
[environment]
GREETING = "hello"
[fit]
command = '''{fit}'''
timeout_s = {timeout}
[render]
command = '''{render}'''
timeout_s = 60
frames = "{frames}"
[edit.fit]
command = "{python} {{here}}/darken.py {{work}} && echo {{target_caption}} > {{work}}/caption.txt"
timeout_s = 60
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there are no such signals")
DARKEN = """
import pathlib, sys
import numpy as np
mean = pathlib.Path(sys.argv[1]) / "mean.npy"
np.save(mean, np.load(mean) // 2)
"""


@pytest.fixture
def make(tmp_path: Path) -> Any:
    folder = tmp_path / "its repository"
    folder.mkdir()
    for name, text in (("fit.py", FIT), ("render.py", RENDER), ("darken.py", DARKEN)):
        (folder / name).write_text(text)

    def write(**changes: object) -> str:
        fields: dict[str, object] = {
            "python": sys.executable,
            "prefix": "",
            "title": "Mean, by commands",
            "workdir": ".",
            "fit": f'test "$GREETING" = hello && {sys.executable} fit.py {{data}} {{work}} {{brightness}}',
            "render": f"{sys.executable} {{here}}/render.py {{data}} {{work}} {{out}}/frames",
            "frames": "{out}/frames",
            "timeout": 60,
        }
        file = folder / "method.toml"
        file.write_text(FILE.format(**{**fields, **changes}))
        return str(file)

    return write


@pytest.fixture
def run(actor: str, protocol_file: str, tmp_path: Path) -> Any:
    def start(method: str, **settings: str) -> Path:
        return runner.run(
            RunRequest(
                method,
                actor,
                protocol_file,
                profile="smoke",
                settings=settings,
                runs_dir=tmp_path / "runs",
                device="cpu",
            ),
            trivial=False,
        )[0]

    return start


@pytest.mark.parametrize("prefix", ["", "env VIA=prefix"])
def test_a_command_method_is_a_run_like_any_other(make: Any, run: Any, prefix: str) -> None:
    folder = run(make(prefix=prefix))
    assert len(load_run(folder).scores) == 12
    capture = actors.load("dot")
    train = sorted(int(p.stem) for p in (folder / "export" / "frames").iterdir())
    mean = np.rint(np.mean(list(capture.frames(train)), axis=0)).astype(np.uint8)
    np.testing.assert_array_equal(next(read_lossless(folder / "render.mkv")), mean)
    assert max(train) < 138 - 3, "held-out pictures were exported"
    assert "$ " in (folder / "command.log").read_text()


def test_its_avatar_can_be_driven(
    make: Any, run: Any, actor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = Path(make())
    monkeypatch.chdir(method.parent)
    folder = run(method.name)
    monkeypatch.chdir("/")
    command = ["drive", str(folder), "--by", actor, "--frames", "3", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2 and "runs the shell commands of" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*command, "--trust"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"video    {folder / f'driven-by-{actor}.mp4'} (3 frames)\n"


def test_settings_reach_the_command_and_an_unknown_one_is_refused(make: Any, run: Any) -> None:
    bright, dark = run(make()), run(make(), brightness="0.5")
    first, second = (next(read_lossless(f / "render.mkv")).mean() for f in (bright, dark))
    assert second == pytest.approx(first / 2, abs=1)
    with pytest.raises(UserError, match="no setting 'colour'; its settings: brightness"):
        run(make(), colour="red")


def render_command(*, out: str = "{out}/frames", divisor: int = 1) -> str:
    return f"{sys.executable} {{here}}/render.py {{data}} {{work}} {out} {divisor}"


def fits_in(folder: Path) -> int:
    return (folder / "command.log").read_text().count("fit.py")


def test_another_fit_command_is_another_run(make: Any, run: Any) -> None:
    run(make())
    with pytest.raises(UserError, match=r"another config\.fit\.command"):
        run(make(fit="true"))


def test_more_time_goes_on_in_the_same_work(make: Any, run: Any) -> None:
    """What the refusal advises: raise timeout_s. The words about the method may be mended with it."""
    fit = "[ -e {work}/seen ] || { touch {work}/seen; sleep 60; }; " + (f"{sys.executable} fit.py {{data}} {{work}} 1")
    with pytest.raises(UserError, match=r"took longer than 1 s and was ended; raise timeout_s"):
        run(make(fit=fit, timeout=1))
    manifest = load_run(run(make(fit=fit, timeout=60, title="A better name"))).manifest
    assert manifest["stages"]["fit"]["attempts"] == 2
    assert manifest["title"] == "A better name"


def test_a_mended_render_step_keeps_the_fit(make: Any, run: Any) -> None:
    with pytest.raises(UserError, match="exit code 127"):
        run(make(render="no-such-program"))
    folder = run(make())
    first = next(read_lossless(folder / "render.mkv"))
    scores = load_run(folder).scores
    assert run(make(render=render_command(divisor=2))) == folder
    np.testing.assert_array_equal(next(read_lossless(folder / "render.mkv")), first // 2)
    assert not load_run(folder).scores.equals(scores)
    assert fits_in(folder) == 1


def test_frames_of_an_earlier_render_are_not_taken_for_new_ones(make: Any, run: Any, tmp_path: Path) -> None:
    """Those in the run's folder are removed before the command, those elsewhere are somebody's: refused, and left."""
    inside = "{work}/shown"
    folder = run(make(frames=inside, render=render_command(out=inside)))
    with pytest.raises(UserError, match=r"shell-mean: render command ended without frames: .*command\.log"):
        run(make(frames=inside, render="true"))
    assert (folder / "work" / "mean.npy").is_file()

    run(make(frames="results", render=render_command(out="results")))
    with pytest.raises(UserError, match=r"left 12 of 12 frames at .*results as they were before it, e\.g\. 00138"):
        run(make(frames="results", render="true"))
    assert len(list((tmp_path / "its repository" / "results").iterdir())) == 12
    run(make(frames="results", render=render_command(out="results", divisor=2)))
    assert fits_in(folder) == 1


def test_a_missing_workdir_is_noticed_before_anything_is_written(make: Any, run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"workdir .*no-such-clone is not a folder: clone the repository there"):
        run(make(workdir="no-such-clone"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ("echo no GPU here; exit 7", r"fit command failed with exit code 7: no GPU here \(see .*command\.log\)"),
        ("exit 3", "failed with exit code 3: no output"),
        ("echo two lines\nfalse", "failed with exit code 1: two lines"),
        ("true\nfalse", "failed with exit code 1: no output"),
        ("kill -9 $$", "was killed by SIGKILL"),
        pytest.param("kill -35 $$", "was killed by signal 35", marks=ON_LINUX),
        ("sh -c 'kill -TERM $$'; exit $?", "was killed by SIGTERM"),
    ],
)
def test_a_command_that_fails_or_dies_is_one_line(make: Any, run: Any, fit: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run(make(fit=fit))
    assert "\n" not in str(caught.value)


def test_a_command_that_hangs_is_ended_with_its_children(make: Any, run: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # The child ignores the polite signal, as a data loader in a native call does.
    fit = f"(trap '' TERM; sh -c 'echo $PPID >> {pids}'; sleep 60; sleep 60) & sleep 60"
    began = time.monotonic()
    with pytest.raises(UserError, match=r"took longer than 1 s and was ended"):
        run(make(fit=fit, timeout=1))
    assert time.monotonic() - began < 20
    child = int(pids.read_text())
    for _ in range(50):
        if not _runs(child):
            break
        time.sleep(0.1)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_after_a_failure_the_same_command_goes_on(make: Any, run: Any) -> None:
    once = f"[ -e {{work}}/seen ] || {{ touch {{work}}/seen; exit 1; }}; {sys.executable} fit.py {{data}} {{work}} 1"
    method = make(fit=once.replace("{{ ", "{ ").replace(" exit 1; }}", " exit 1; }"))
    with pytest.raises(UserError, match="exit code 1"):
        run(method)
    assert load_run(run(method)).manifest["stages"]["fit"]["attempts"] == 2


@pytest.mark.parametrize(
    ("render", "message"),
    [
        ("rm {out}/frames/00149.png", "has 11 frames; 12 were asked for; lacking: 149"),
        ("cp {out}/frames/00149.png {out}/frames/00150.png", "has 13 frames; 12 were asked for"),
        ("mv {out}/frames/00149.png {out}/frames/00077.png", "but not those; lacking: 149"),
        ("mv {out}/frames/00149.png {out}/frames/last.png", "last in .* has no number"),
        ("rm -r {out}/frames", "shell-mean: render command ended without frames"),
        (
            "PYTHON -c \"from PIL import Image; Image.new('RGB', (32, 48)).save('{out}/frames/00139.png')\"",
            "is 32x48 px, not 64x64",
        ),
    ],
)
def test_wrong_frames_are_one_line(make: Any, run: Any, render: str, message: str) -> None:
    good = f"{sys.executable} {{here}}/render.py {{data}} {{work}} {{out}}/frames"
    with pytest.raises(UserError, match=message) as caught:
        run(make(render=f"{good} && {render.replace('PYTHON', sys.executable)}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": "run {dta}"}, r"unknown placeholder \{dta\}"),
        ({"timeout": -1}, "fit.timeout_s"),
        ({"frames": "{nowhere}"}, "unknown placeholder"),
        ({"fit": " "}, "fit.command"),
    ],
)
def test_a_wrong_file_names_the_field(make: Any, change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        methods.method_class(make(**change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("timeout_s", "timout_s", r"unknown key fit\.timout_s in .*method\.toml; did you mean fit\.timeout_s\?"),
        ("workdir", "work_dir", r"unknown key work_dir in .*; did you mean workdir\?"),
        ("frames =", "zzz =", r"unknown key render\.zzz in .*; known: command, timeout_s, frames"),
        ("[settings]", 'profiles = ["a/../../b"]\n[settings]', r"profiles\.0"),
    ],
)
def test_a_mistyped_key_is_named(make: Any, right: str, wrong: str, message: str) -> None:
    file = Path(make())
    file.write_text(file.read_text(encoding="utf-8").replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        methods.method_class(str(file))
    assert "\n" not in str(caught.value)


def test_methods_show_lists_what_set_reaches(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["methods", "show", make()])
    table = capsys.readouterr().out.partition("--set")[2].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["brightness"]


def test_an_edit_leaves_the_fit_as_it_was(make: Any, run: Any) -> None:
    method = make()
    folder = run(method)
    capture = actors.load("dot")
    base = methods.method_class(method)(Workspace(folder, "smoke", 0))
    style = EditStyle("dark", "a disc", "a dark disc; $(exit)", "darken it", "file")
    (folder / "edit").mkdir()
    edited = base.edit(style, Workspace(folder / "edit", "smoke", 0))
    edited.fit(capture.restricted(range(30)), list(range(6)))
    before, after = (next(iter(m.render(capture.restricted(()), [140]))) for m in (base, edited))
    np.testing.assert_array_equal(after, before // 2)
    assert (folder / "edit" / "work" / "caption.txt").read_text() == "a dark disc; $(exit)\n"
