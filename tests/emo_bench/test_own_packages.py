"""A method's folder, or the working directory, holds packages named as ours are: emo-bench still runs its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.plug_ins import own_packages

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("emo_avatar", "baselines", "protocols", "reports")
METHOD = """
import numpy as np
from helper_of_mine import LEVEL
from emo_bench.methods.interface import Method, MethodInfo

class Own(Method):
    info = MethodInfo("own", "Own", "", "MIT", frozenset({"render"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train):
        (self.workspace.folder / "fit.txt").write_text("fitted")

    def load(self): ...

    def render(self, capture, indices):
        from factory.mine import SHADE
        for _ in indices:
            yield np.full((64, 64, 3), LEVEL + SHADE, np.uint8)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as a wheel lays them into site-packages: without factory, tests and docs beside them."""
    folder = tmp_path_factory.mktemp("site-packages")
    for name in own_packages.NAMES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports from its own folder is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Other tests of this process import the checkout's own factory, which a wheel does not hold.
    for name in [name for name in sys.modules if name.partition(".")[0] == "factory"]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in {"factory", "helper_of_mine", "layers_of_test"}]:
        del sys.modules[name]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a method and, beside it, packages named as ours are, which fail when they are imported."""
    folder = tmp_path / "research"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('the wrong {name}')\n")
    (folder / "factory").mkdir()
    (folder / "factory" / "__init__.py").write_text("")
    (folder / "factory" / "mine.py").write_text("SHADE = 7\n")
    (folder / "helper_of_mine.py").write_text("LEVEL = 90\n")
    (folder / "own.py").write_text(METHOD)
    return folder


def emo_bench(*words: str, cwd: Path, installed: Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    if home is not None:
        environment["EMO_BENCH_HOME"] = str(home)
    command = [sys.executable, "-m", "emo_bench", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_commands_run_where_the_working_directory_has_such_packages(hostile: Path, installed: Path) -> None:
    for words in (["--help"], ["protocols", "list"], ["methods", "show", "mean-frame"], ["show", "no-run"]):
        ended = emo_bench(*words, cwd=hostile, installed=installed)
        assert ended.returncode == (2 if words[0] == "show" else 0), ended.stderr
        assert "the wrong" not in ended.stderr + ended.stdout and "Traceback" not in ended.stderr
    where = "import emo_bench.cli.app as app, sys; print(app.__file__)"
    place = subprocess.run(
        [sys.executable, "-c", where], cwd=hostile, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(place.stdout.strip()).is_relative_to(installed), "the copy is what was tried"


def test_a_method_whose_folder_has_such_packages_is_run_and_reported(
    hostile: Path, installed: Path, actor: str, actor_home: Path, protocol_file: str
) -> None:
    words = ["run", "--method", "own.py:Own", "--actor", actor, "--protocol", protocol_file, "--runs", "runs"]
    ended = emo_bench(*words, "--skip-edit", cwd=hostile, installed=installed, home=actor_home)
    assert ended.returncode == 0, ended.stderr
    assert "the wrong" not in ended.stderr
    runs = hostile / "runs"
    made = {json.loads(path.read_text())["identity"]["method"] for path in runs.rglob("run.json")}
    assert made == {"own", "mean-frame", "nearest-frame"} and list(runs.rglob("report.md"))


def test_the_contract_is_tried_where_the_working_directory_has_such_packages(
    hostile: Path, installed: Path, actor: str, actor_home: Path
) -> None:
    words = ["methods", "check", "mean-frame", "--actor", actor]
    ended = emo_bench(*words, cwd=hostile, installed=installed, home=actor_home)
    assert ended.returncode == 0 and "FAILED" not in ended.stdout, ended.stdout + ended.stderr


def test_a_plug_ins_import_of_such_a_name_is_ours_and_the_log_says_so(
    hostile: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = hostile / "own.py"
    file.write_text(f"import baselines\nPLACE = baselines.__file__\n{METHOD}")
    cls = methods.method_class(f"{file}:Own")
    assert Path(vars(sys.modules[cls.__module__])["PLACE"]).is_relative_to(own_packages.HOME)
    assert f"import baselines gives emo-bench's own package, not {hostile / 'baselines'}" in caplog.text


def test_a_failed_import_of_such_a_name_says_why(hostile: Path) -> None:
    file = hostile / "own.py"
    file.write_text(f"from baselines.of_mine import train\n{METHOD}")
    with pytest.raises(UserError, match=r"No module named 'baselines\.of_mine'.*emo-bench's own package.*rename yours"):
        methods.method_class(f"{file}:Own")


def test_two_plug_ins_with_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second file would get the first one's module without a word."""
    files = []
    for part, level in (("a", 1), ("b", 2)):
        (tmp_path / part).mkdir()
        (tmp_path / part / "layers_of_test.py").write_text(f"LEVEL = {level}\nSHADE = 0\n")
        text = METHOD.replace("helper_of_mine", "layers_of_test")
        (tmp_path / part / "own.py").write_text(text)
        files.append(tmp_path / part / "own.py")
    methods.method_class(f"{files[0]}:Own")
    with pytest.raises(UserError, match=r"imports layers_of_test from its folder.*already imported from .*/a/"):
        methods.method_class(f"{files[1]}:Own")
    # The same file again is no conflict.
    methods.method_class(f"{files[0]}:Own")


def test_another_package_that_is_imported_already_is_one_line(hostile: Path, installed: Path) -> None:
    (hostile / "reports" / "__init__.py").write_text("")
    code = "import reports; from emo_bench.cli import main; main(['protocols', 'list'])"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=hostile, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "a package reports is already imported from" in ended.stderr


def test_the_names_are_those_of_the_wheel() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in found} == set(own_packages.NAMES)
