"""The command line: fast help with examples, one line for a mistake, JSON that parses, the main job end to end."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from emo_bench.actors import list_actors
from emo_bench.cli import main
from emo_bench.cli.app import app
from emo_bench.doctor.checks import Check
from emo_bench.errors import UserError
from emo_bench.metrics import list_metrics
from emo_bench.metrics.registry import list_pyiqa

HEAVY = {"torch", "pandas", "mediapipe", "anny", "warp", "av", "cv2", "numpy", "scipy", "rich"}
COLUMNS = 80


def commands(group: Any = None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """All commands and groups of the app by their words, the app itself first."""
    group = group or typer.main.get_command(app)
    found = {path: group}
    for name, command in getattr(group, "commands", {}).items():
        found |= commands(command, (*path, name))
    return found


ALL = commands()
GROUPS = {path: command for path, command in ALL.items() if hasattr(command, "commands")}
LEAVES = {path: command for path, command in ALL.items() if path not in GROUPS}


class Outcome:
    """Exit code and output of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        code = ended.value.code
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, out, err)

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["methods", "list"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom emo_bench.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as ended: assert ended.code == 0, ended.code\n"
        "print('\\nloaded', *sorted(name for name in sys.modules if '.' not in name))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("\nloaded ")[2].split())
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.fixture
def help_of(call: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The help of a command as a terminal of 80 columns shows it."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def show(path: tuple[str, ...]) -> str:
        outcome = call(*path, "--help")
        assert (outcome.code, outcome.err) == (0, "")
        assert isinstance(outcome.out, str)
        return outcome.out

    return show


def examples_in(text: str) -> list[str]:
    """The commands at the end of a help."""
    _, title, examples = text.rpartition("\n  Example")
    assert title, text
    return [line.strip() for line in examples.splitlines()[1:]]


def test_the_walk_finds_the_commands() -> None:
    assert {("run",), ("assets", "fetch"), ("study", "score")} <= LEAVES.keys()
    assert {(), ("methods",), ("protocols",)} <= GROUPS.keys()
    assert all(len(path) == 1 or path[:1] in GROUPS for path in LEAVES)


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_the_summary_of_each_command_is_whole(path: tuple[str, ...], help_of: Any) -> None:
    lines = help_of(path).splitlines()
    for name, command in GROUPS[path].commands.items():
        (line,) = [line for line in lines if re.match(rf"  {name} +\S", line)]
        summary = line.split(None, 1)[1]
        first_sentence = " ".join(command.help.split()).partition(". ")[0]
        assert summary.rstrip(".") == first_sentence.rstrip(".")
        assert len(line) <= COLUMNS and not summary.endswith("...")


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_each_option_has_a_plain_help_text(path: tuple[str, ...]) -> None:
    for parameter in LEAVES[path].params:
        text = parameter.help
        assert text, parameter.name
        assert text[0].isupper() and text.endswith(".") and not text.startswith("Of "), text


@pytest.mark.parametrize("path", [(), *LEAVES], ids=" ".join)
def test_each_example_can_be_copied(path: tuple[str, ...], help_of: Any) -> None:
    """It is on one line, it is of this command, and the options that it names exist."""
    found = examples_in(help_of(path))
    assert found
    for line in found:
        program, *words = shlex.split(line)
        assert program == "emo-bench" and tuple(words[: len(path)]) == path
        assert len(line) + 4 <= COLUMNS
        own = next(leaf for leaf in LEAVES if tuple(words[: len(leaf)]) == leaf)
        # Parsing raises for an option that is not there, a missing argument, and a value out of its bounds.
        with LEAVES[own].make_context("emo-bench", words[len(own) :]):
            pass


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_of_a_help_breaks_a_command(path: tuple[str, ...], help_of: Any) -> None:
    for line in help_of(path).splitlines():
        words = line.split()
        assert len(line) <= COLUMNS
        assert words[-1:] != ["emo-bench"] and not (words[-2:-1] == ["emo-bench"] and (words[-1],) in GROUPS), line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["methods", "show"], "methods show: Missing argument 'name'"),
        (["run", "--method", "x", "--actor", "1", "--set", "lr"], "'lr' is not KEY=VALUE"),
        (["run", "--method", "x", "--actor", "1", "--seed", "-1"], "--seed"),
        (["run", "--method", "x", "--actor", "1", "--colour", "red"], "No such option: --colour"),
        (["run", "--method", "mean-fram", "--actor", "1"], "did you mean mean-frame"),
        (["rnu"], "No such command 'rnu'"),
        (["methods", "show", "emo-avatr"], "did you mean emo-avatar"),
        (["protocols", "show", "none"], "there is no protocol 'none'"),
        (
            ["protocols", "show", "nofile.toml"],
            "nofile.toml is not a file; name a protocol of your own by its TOML file",
        ),
        (["run", "--method", "mean-frame", "--actor", "1", "--protocol", "nofile.toml"], "nofile.toml is not a file"),
        (
            ["run", "--method", "emo-avatar", "--actor", "1", "--style", "no.toml"],
            "no.toml is not a file; name a style",
        ),
        (["score"], "give the frames to score: emo-bench score FRAMES"),
        (["score", "a", "--frames", "b"], "give the frames once"),
        (["assets", "fetch", "none"], "there is no asset 'none'"),
        (["actors", "show", "nobody"], "there is no actor 'nobody'"),
        (["actors", "add", "absent.mp4"], "absent.mp4"),
        (["report", "absent"], "absent: no such folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], line: str, call: Any) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("emo-bench: ")
    assert line in outcome.err
    assert not outcome.out


@pytest.mark.parametrize("group", ["", "protocols", "methods", "metrics", "actors", "assets", "study"])
def test_a_group_without_a_command_prints_its_help(group: str, call: Any) -> None:
    words = [group] if group else []
    bare, helped = call(*words), call(*words, "--help")
    assert bare.code == (2 if group else 0) and helped.code == 0
    assert bare.out == helped.out and bare.out.count("\n") > 5
    assert not bare.err


def test_a_fault_of_ours_keeps_its_traceback(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code is not 1, which would say that a check failed."""
    monkeypatch.setattr("protocols.list_protocols", lambda: 1 / 0)
    outcome = call("protocols", "list")
    assert outcome.code == 70
    assert "Traceback" in outcome.err and "ZeroDivisionError: division by zero" in outcome.err
    assert outcome.err.endswith("emo-bench: this is a bug of the program: please report it with the lines above\n")


def test_an_interruption_says_how_to_go_on(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("protocols.list_protocols", interrupt)
    outcome = call("protocols", "list")
    assert (outcome.code, outcome.err) == (130, "emo-bench: interrupted; the same command goes on from here\n")


def test_lists_as_json_are_what_the_functions_give(actor: str, call: Any) -> None:
    actors = json.loads(call("actors", "list", "--json").out)
    assert [entry["name"] for entry in actors] == [info.name for info in list_actors()]
    assert actor in {entry["name"] for entry in actors}
    metrics = json.loads(call("metrics", "list", "--json").out)
    assert [entry["info"]["id"] for entry in metrics] == [state.info.id for state in (*list_metrics(), *list_pyiqa())]
    assert {"emo-avatar", "mean-frame"} <= json.loads(call("methods", "list", "--json").out).keys()
    shown = json.loads(call("protocols", "show", "self_reenactment", "--json").out)
    assert shown["splits"]["tail-500"]["held_out_frames"] == 500
    profiles = json.loads(call("methods", "show", "mean-frame", "--json").out)["profiles"]
    assert profiles["cpu"] == {"resolution_px": 128}
    assert {entry["asset"]["name"] for entry in json.loads(call("assets", "list", "--json").out)} >= {"face-landmarker"}


def test_lists_for_people_have_a_line_each(actor: str, call: Any) -> None:
    lines = call("actors", "list").out.splitlines()
    assert len(lines) == 1 + len(list_actors())
    assert lines[0].split()[:2] == ["actor", "source"]
    (line,) = [line for line in lines if line.startswith(f"{actor} ")]
    assert line.split()[1:6] == ["video", "yours", "150", "25", "64"]


def test_show_draws_a_sheet(actor: str, call: Any, tmp_path: Path) -> None:
    import cv2

    sheet = tmp_path / "sheet.png"
    facts = json.loads(call("actors", "show", actor, "--out", sheet, "--json").out)
    assert (facts["frames"], facts["frames_with_face"]) == (150, 147)
    assert facts["yaw_deg"] == pytest.approx([-28.6, 28.6], abs=0.5)
    assert cv2.imread(str(sheet)).shape[2] == 3


def test_doctor_fails_only_for_what_is_needed(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    optional = Check("GPU", False, "none", "buy one", required=False)
    needed = Check("torch", False, "broken", "pip install torch")
    monkeypatch.setattr("emo_bench.doctor.checks.run_checks", lambda: [optional])
    assert call("doctor").code == 0
    monkeypatch.setattr("emo_bench.doctor.checks.run_checks", lambda: [optional, needed])
    outcome = call("doctor")
    assert outcome.code == 1
    assert outcome.out.splitlines() == ["-    GPU    none; fix: buy one", "FAIL torch  broken; fix: pip install torch"]
    assert [entry["ok"] for entry in json.loads(call("doctor", "--json").out)] == [False, False]


def test_the_main_job(actor: str, protocol_file: str, call: Any, tmp_path: Path) -> None:
    """Run, then report, as a newcomer would; what is printed is there."""
    runs = tmp_path / "runs"
    common = ["--actor", actor, "--protocol", protocol_file, "--profile", "smoke", "--runs", runs]
    outcome = call("run", "--method", "nearest-frame", *common, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    printed = dict(line.split(None, 1) for line in outcome.out.splitlines()[-2:])
    assert Path(printed["report"]).read_text(encoding="utf-8").startswith("# emo-bench report")
    assert Path(printed["preview"]).stat().st_size > 1000
    assert "Mean frame" in outcome.out
    assert "fit: done in" in outcome.err
    again = call("run", "--method", "nearest-frame", *common, "--device", "cpu")
    assert again.err.count("already done, skipped") == 6

    reported = call("report", runs, "--out", tmp_path / "out", "--json")
    rows = json.loads(reported.out)["rows"]
    assert {row["method"] for row in rows} == {"mean-frame", "nearest-frame"}
    assert (tmp_path / "out" / "report.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "method emo-avatar, actor 1 (the defaults; choose with --method and --actor)"),
        (["--method", "mean-frame"], "actor 1 (the default; choose with --actor)"),
        (["--actor", "1"], "method emo-avatar (the default; choose with --method)"),
    ],
    ids=["nothing", "method", "actor"],
)
def test_run_says_first_what_was_not_named(arguments: list[str], line: str, call: Any, tmp_path: Path) -> None:
    """The next line is of the run itself: it goes on with the method and the actor that it named."""
    outcome = call("run", *arguments, "--runs", tmp_path, "--profile", "smoke", "--split", "none")
    assert outcome.code == 2
    first, error = outcome.err.splitlines()
    assert first == line
    assert error.startswith("emo-bench: ") and "'none'" in error
    assert not list(tmp_path.iterdir())


def test_ablate_says_first_what_was_not_named(call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requests = []

    def refuse(request: Any, *_: Any, **__: Any) -> None:
        requests.append(request)
        raise UserError("enough")

    monkeypatch.setattr("emo_bench.ablation.runs.device_and_profile", refuse)
    outcome = call("ablate", "--runs", tmp_path)
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "method emo-avatar, actor 1 (the default; choose with --actor)",
        "emo-bench: enough",
    ]
    assert (requests[0].method, requests[0].actor) == ("emo-avatar", "1")


def test_user_error_from_deep_inside_is_one_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UserError("the disk is full: empty it")

    monkeypatch.setattr("emo_bench.doctor.checks.run_checks", refuse)
    outcome = call("doctor")
    assert (outcome.code, outcome.err) == (2, "emo-bench: the disk is full: empty it\n")


def test_a_profile_that_lacks_an_asset_does_not_hide_the_others(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from baselines.mean_frame import MeanFrame

    describe = MeanFrame.describe

    def lacking(method: MeanFrame) -> dict[str, object]:
        if method.workspace.profile == "paper":
            raise UserError("asset ffhq-512 is not on this machine")
        return describe(method)

    monkeypatch.setattr(MeanFrame, "describe", lacking)
    shown = call("methods", "show", "mean-frame")
    assert shown.code == 0
    assert "paper:    asset ffhq-512 is not on this machine" in shown.out
    assert shown.out.splitlines()[-1].split() == ["resolution_px", "64", "128", "256"]
