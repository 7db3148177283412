"""Methods and metrics of others that fail: their own traceback once, one line of ours, exit code 1, nothing lost or
hidden.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_bench.cli import main
from emo_bench.errors import MethodError
from emo_bench.methods.watched import not_json
from emo_bench.metrics import Metric
from emo_bench.metrics.metric import Backend, MetricInfo
from emo_bench.metrics.scoring import Scorer
from emo_bench.plug_ins import loading
from emo_bench.plug_ins.calls import kept_apart, plug_in_call

ROOT = Path(__file__).resolve().parents[2]
PLUG_IN = """
import os, shutil, sys
import numpy as np
from emo_bench.methods.interface import Method, MethodInfo

class Own(Method):
    info = MethodInfo("own", "Own", "", "MIT", frozenset(("render", "edit")), (), "a test")
    resolution_px = 64

    def __init__(self, workspace):
        super().__init__(workspace)
        {init}

    @classmethod
    def profiles(cls):
        {profiles}
        return ("smoke",)

    def describe(self):
        {describe}
        return {{"config": {{"a": 1}}}}

    def render_inputs(self):
        {render_inputs}
        return None

    def fit(self, capture, train):
        {fit}
        (self.workspace.folder / "fit.txt").write_text("fitted")

    def load(self):
        {load}
        assert (self.workspace.folder / "fit.txt").is_file()

    def render(self, capture, indices):
        {render}
        for _ in indices:
            yield np.full((64, 64, 3), 90, np.uint8)

    def edit(self, style, workspace):
        {edit}
        return Own(workspace)
"""
PARTS = ("init", "profiles", "describe", "render_inputs", "fit", "load", "render", "edit")


class Ended:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run_with(actor: str, tmp_path: Path, protocol_file: str, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a method whose parts begin with the given lines, through the command line."""

    def run(*more: str, **lines: str) -> Ended:
        file = tmp_path / "own.py"
        file.write_text(PLUG_IN.format(**{part: lines.get(part, "pass") for part in PARTS}))
        arguments = ["run", "--method", f"{file}:Own", "--actor", actor, "--protocol", protocol_file]
        arguments += ["--runs", str(tmp_path / "runs"), "--no-trivial", *(more or ("--skip-edit",))]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return Ended(ended.value.code, *capfd.readouterr())

    return run


RAISED = {
    "init": "__init__",
    "profiles": "profiles",
    "describe": "describe",
    "render_inputs": "render_inputs",
    "fit": "fit",
    "render": "render",
}


@pytest.mark.parametrize(("part", "named"), RAISED.items())
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise KeyError('left_eye')", "KeyError: 'left_eye'"),
        ("sys.exit(0)", "it called sys.exit(0)"),
        ("raise FileNotFoundError(2, 'No such file', 'my-weights.pt')", "my-weights.pt"),
    ],
)
def test_what_a_method_raises_is_its_traceback_once_and_one_line(
    part: str, named: str, line: str, said: str, run_with: Any
) -> None:
    ended = run_with(**{part: line})
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("emo-bench: method ") and f": {named} failed: " in last and said in last
    assert "own.py:" in last
    assert ended.err.count("Traceback (most recent call last)") == 1 and "traceback of method " in ended.err
    # The traceback begins in the method's file, not in ours.
    first_file = next(text for text in ended.err.splitlines() if text.startswith("  File "))
    assert "own.py" in first_file


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise GeneratorExit", "fit failed: GeneratorExit: "),
        ("raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", "Mute, whose message cannot be told"),
        ("raise ValueError('x' * 5_000_000)", "fit failed: ValueError: xxx"),
        ("raise ValueError(chr(0xdcff) + chr(0x1b) + '[31m')", "fit failed: ValueError: \\udcff\\x1b[31m"),
    ],
    ids=["GeneratorExit", "no message", "5 MB", "half a character"],
)
def test_whatever_is_raised_is_told_in_few_lines(line: str, said: str, run_with: Any) -> None:
    ended = run_with(fit=line)
    assert ended.code == 1 and said in ended.err.splitlines()[-1]
    assert ended.err.count("Traceback (most recent call last)") == 1 and "Logging error" not in ended.err
    assert len(ended.err) < 50_000 and "\x1b" not in ended.err


def test_a_dictionary_that_raises_is_the_methods_fault(run_with: Any) -> None:
    lines = "return type('Own', (dict,), {'items': lambda self: 1 / 0})(config={})"
    ended = run_with(describe=lines)
    assert ended.code == 1 and "describe failed: ZeroDivisionError" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    "line", ["sys.stdout.close()", "sys.stderr.close(); sys.stdout = sys.stderr = None", "os.close(1); os.close(2)"]
)
def test_a_method_that_closes_the_streams_closes_its_own(line: str, run_with: Any) -> None:
    ended = run_with(fit=line)
    assert ended.code == 0 and "own" in ended.out.lower() and "render: done" in ended.err


def test_a_method_that_ends_the_process_is_a_failure(actor: str, tmp_path: Path, protocol_file: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUG_IN.format(**{**dict.fromkeys(PARTS, "pass"), "fit": "os._exit(0)"}))
    command = [sys.executable, "-m", "emo_bench", "run", "--method", f"{file}:Own", "--actor", actor, "--skip-edit"]
    ended = subprocess.run(
        [*command, "--protocol", protocol_file, "--runs", str(tmp_path / "runs")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "emo-bench: a method or metric ended the process with os._exit(0)"


def test_a_child_of_a_method_ends_as_it_likes(run_with: Any) -> None:
    child = (
        "child = os.fork()\n        if child == 0: os._exit(7)\n        assert "
        "os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7"
    )
    assert run_with(fit=child).code == 0


@pytest.mark.parametrize(
    ("in_child", "code", "said"),
    [
        ("return", 1, "method own forked, and the child process returned from the plug-in; it is ended"),
        ("raise ValueError('lost')", 1, "forked, and the child process failed: ValueError: lost; it is ended"),
        ("raise KeyboardInterrupt", 1, "forked, and the child process failed: KeyboardInterrupt"),
        ("sys.exit(7)", 7, ""),
        ("sys.exit()", 0, ""),
    ],
)
def test_a_forked_child_that_comes_back_ends_and_the_run_goes_on_once(
    in_child: str, code: int, said: str, run_with: Any, tmp_path: Path
) -> None:
    waited = f"assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {code}"
    ended = run_with(fit=f"child = os.fork()\n        if child == 0: {in_child}\n        {waited}")
    assert ended.code == 0
    assert said in ended.err and ended.err.count("is ended, the run goes on") == bool(said)
    assert ended.err.count("fit: done in") == 1 and ended.out.count("SMOKE, not a result") == 1
    assert "traceback of method" not in ended.err


def test_a_child_that_a_metric_forks_in_a_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for ever: the threads that gave it work are not in it."""
    children = []

    def fork(frames: Any) -> Any:
        child = os.fork()
        if child:
            children.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return np.ones(len(frames))

    entry = EntryPoint("failing", f"{__name__}:Failing", "emo_bench.metrics")
    monkeypatch.setattr(loading, "entry_points", lambda group: [entry])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(Failing, "act", staticmethod(fork))
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    scorer = Scorer(["failing", "psnr", "sd"])
    scorer.add(frames, frames)
    assert children == [1] and list(scorer.table()["failing"]) == [1.0] * 4


def test_a_method_that_exits_while_it_is_imported_is_one_line(run_with: Any, tmp_path: Path) -> None:
    ended = run_with(init="pass\n\n    sys.exit(0)")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "own.py cannot be imported: SystemExit: 0" in ended.err


def test_a_run_whose_method_exits_is_not_finished(run_with: Any, tmp_path: Path) -> None:
    assert run_with(render="sys.exit(0)").code == 1
    (manifest,) = (tmp_path / "runs").rglob("run.json")
    stages = json.loads(manifest.read_text())["stages"]
    assert "finished_at" in stages["fit"] and "finished_at" not in stages["render"]
    # The same command goes on over the fit that is there; here `load` fails.
    file = tmp_path / "own.py"
    ended = run_with(render="sys.exit(0)", load="raise OSError('no weights')")
    assert ended.code == 2 and "another method_file_sha256" in ended.err, file


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"describe": "return {'config': {'size': {1, 2}}}"}, (
            "describe()['config']['size'] is set, which is not plain"
        )),
        ({"describe": "return {'config': {'a': float('nan')}}"}, (
            "describe()['config']['a'] is nan, which JSON does not"
        )),
        ({"describe": "return {'config': {1: 2}}"}, "describe()['config'] has the key '1' (int)"),
        ({"describe": "return 7"}, "describe gives int; it must give a dictionary"),
        ({"describe": "return {'flags': 'slow'}"}, "describe()['flags'] is str, not list"),
        ({"describe": "a = {}; a['config'] = a; return a"}, "is nested deeper than 40 levels"),
        ({"describe": "return {'config': {'a': 10**5000}}"}, "describe()['config']['a'] is a number of 16610 bits"),
        ({"describe": "return {'config': {'a': chr(0xdcff)}}"}, (
            "describe()['config']['a'] is text with half a character"
        )),
        ({"describe": "return {'config': {chr(0xdcff): 1}}"}, "with half a character"),
        ({"describe": "return {'config': {'a': 'x' * 5_000_000}}"}, "describe gives 5.0 MB of JSON; at most 4 MB"),
        ({"render_inputs": "return {'x': np.float32(1)}"}, "render_inputs()['x'] is float32, which is not plain JSON"),
        ({"fit": "shutil.rmtree(self.workspace.folder); return"}, "fit removed its folder"),
        ({"render": "return"}, "rendered 0 frames; 12 were asked for"),
        (
            {"render": "\n        while True: yield np.zeros((64, 64, 3), np.uint8)"},
            "rendered more than the 12 frames that were asked for",
        ),
    ],
)  # fmt: skip
def test_what_a_method_does_wrong_is_one_line(lines: dict[str, str], said: str, run_with: Any) -> None:
    ended = run_with(**lines)
    assert ended.code == 1
    assert said in ended.err.splitlines()[-1] and "Traceback" not in ended.err


def test_an_edit_that_fails_is_told_apart(run_with: Any) -> None:
    ended = run_with("--style", "bronze-statue", edit="raise ValueError('no editor')")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("emo-bench: method own: edit failed: ValueError: no editor")
    ended = run_with("--style", "bronze-statue", edit="return 3")
    assert (ended.code, ended.err.count("\n")) == (1, 1) and "edit gives int" in ended.err


def test_memory_that_is_used_up_is_one_line(run_with: Any) -> None:
    ended = run_with(fit="raise MemoryError('Unable to allocate 93.1 GiB')")
    assert ended.code == 2 and "Traceback" not in ended.err
    assert "own: fit: out of memory (Unable to allocate 93.1 GiB)" in ended.err.splitlines()[-1]
    ended = run_with(fit="raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes')")
    assert ended.code == 2 and "Traceback" not in ended.err


def test_a_disk_that_is_full_is_no_fault_of_the_method(run_with: Any) -> None:
    ended = run_with(fit="raise OSError(28, 'No space left on device', '/full/weights.pt')")
    assert ended.code == 2 and "Traceback" not in ended.err
    assert ended.err.splitlines()[-1] == (
        "emo-bench: /full/weights.pt: the disk is full: free some space, or write elsewhere"
    )


@pytest.mark.parametrize("part", ["fit", "render", "init"])
def test_a_method_may_change_the_working_directory(
    part: str, run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own folder, the actors' and the runs' are the same as before, also where they were given as relative ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMO_BENCH_HOME", os.path.relpath(os.environ["EMO_BENCH_HOME"]))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lines = {part: f"os.chdir({str(elsewhere)!r})"}
    if part == "fit":
        lines[part] += "; assert len(list(capture.frames(train))) == len(train)"
    ended = run_with("--skip-edit", "--runs", "relative", **lines)
    assert ended.code == 0, ended.err
    assert not list(elsewhere.iterdir())
    assert list((tmp_path / "relative").rglob("fit.txt")) and Path.cwd() == tmp_path
    assert "changed the working directory" in ended.err


def test_what_a_method_prints_is_not_in_the_output(run_with: Any) -> None:
    loud = "print('LOUD'); os.system('echo LOUD'); os.write(1, b'LOUD')"
    ended = run_with(init=loud, fit=loud, describe=loud, render=loud)
    assert ended.code == 0 and "LOUD" not in ended.out and ended.err.count("LOUD") >= 9
    assert ended.out.startswith("# ") or "own" in ended.out.lower()


def test_json_of_a_method_that_prints_is_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.py"
    loud = "print('LOUD'); os.write(1, b'LOUD')"
    file.write_text("print('LOUD')\n" + PLUG_IN.format(**dict.fromkeys(PARTS, loud)))
    with pytest.raises(SystemExit) as ended:
        main(["methods", "show", f"{file}:Own", "--json"])
    out, err = capfd.readouterr()
    assert ended.value.code == 0 and json.loads(out)["info"]["name"] == "own" and "LOUD" in err


def test_a_render_that_never_ends_can_be_interrupted(actor: str, tmp_path: Path, protocol_file: str) -> None:
    file = tmp_path / "own.py"
    hang = f"open({str(tmp_path / 'begun')!r}, 'w').close()\n        import time\n        while True: time.sleep(0.05)"
    file.write_text(PLUG_IN.format(**{**dict.fromkeys(PARTS, "pass"), "render": hang}))
    command = [sys.executable, "-m", "emo_bench", "run", "--method", f"{file}:Own", "--actor", actor, "--protocol"]
    process = subprocess.Popen(
        [*command, protocol_file, "--runs", str(tmp_path / "runs"), "--skip-edit"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "emo-bench: interrupted; the same command goes on from here"


class Failing(Metric):
    """A plug-in whose scores are what ``act`` makes."""

    info = MetricInfo("failing", "1", "Failing", "higher", "1", needs_reference=False)
    backend = Backend("test")
    act = staticmethod(lambda frames: None)

    def score(self, frames, reference):
        return self.act(frames)


@pytest.mark.parametrize("others", [[], ["psnr", "sd"]], ids=["alone", "in threads"])
@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda frames: sys.exit(0), r"metric failing: score_batch failed: it called sys.exit\(0\)"),
        (lambda frames: {}["mouth"], "metric failing: score_batch failed: KeyError: 'mouth'"),
        (lambda frames: [1.0], r"metric failing gives scores of shape \(1,\) for 4 frames, not one a frame"),
    ],
)
def test_a_metric_that_fails_is_one_line(
    others: list[str], act: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("failing", f"{__name__}:Failing", "emo_bench.metrics")
    monkeypatch.setattr(loading, "entry_points", lambda group: [entry])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(Failing, "act", staticmethod(act))
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    with pytest.raises(MethodError, match=said):
        Scorer(["failing", *others]).add(frames, frames)


def test_plain_json_says_where_it_is_not() -> None:
    assert not_json({"a": [1, 2.5, None, "x", True, {"b": ()}]}, "it") is None
    assert not_json({"a": [1, object()]}, "it") == (
        "it['a'][1] is object, which is not plain JSON (text, numbers, lists, dictionaries)"
    )


def test_nested_calls_keep_stdout_for_the_outermost(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with kept_apart("a"):
        with kept_apart("b"):
            print("inner")
        print("outer")
    print("after")
    out, err = capfd.readouterr()
    assert out.split() == ["before", "after"] and err.split() == ["inner", "outer"]


def test_an_interruption_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), plug_in_call("method own", "fit"):
        raise KeyboardInterrupt
