"""The registry: names, plug-ins, files, and what each wrong name is told."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from baselines.mean_frame import MeanFrame
from emo_bench.errors import MethodError, UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import Method, Workspace
from emo_bench.plug_ins import loading
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

ROOT = Path(__file__).resolve().parents[2]
PLUG_IN = """
from emo_bench.methods.interface import Method, MethodInfo

class Own(Method):
    info = MethodInfo("own", "Own", "", "MIT", frozenset({"render"}), (), "a test")
    resolution_px = 64

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def render(self, capture, indices): ...
    def load(self): ...

class NotAMethod: ...
"""
NO_LOAD = "    def load(self): ...\n"
INFO = PLUG_IN[PLUG_IN.index("    info =") : PLUG_IN.index("    resolution_px")]
# What is wrong in the file, and what the line about it says.
MISTAKES = {
    "x = ((": r"SyntaxError.*own_method\.py:1\)",
    "\nraise ValueError('two\\nlines')": r"ValueError: two lines \(.*own_method\.py:2\)",
    "import sys; sys.exit(3)": r"SystemExit: 3 \(.*own_method\.py:1\)",
    "import no_such_module": r"No module named 'no_such_module' \(.*own_method\.py:1\)",
    PLUG_IN.replace(NO_LOAD, ""): "Own lacks load",
    PLUG_IN.replace(INFO, ""): "Own.info is not",
    PLUG_IN.replace('"MIT", ', ""): r"missing 1 required positional argument.*own_method\.py:5\)",
    PLUG_IN.replace('("smoke",)', "()"): r"profiles\(\) gives no names",
    PLUG_IN.replace('("smoke",)', '"smoke"'): r"profiles\(\) gives no names",
    PLUG_IN.replace('("smoke",)', '("../../up",)'): "'../../up' cannot name a profile",
    PLUG_IN.replace('"own"', '"../../evil"'): "'../../evil' cannot name a method",
    PLUG_IN.replace('"own"', '"My Method!"'): "'My Method!' cannot name a method",
}


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    file = tmp_path / "own_method.py"
    file.write_text(PLUG_IN)
    return file


PUBLISHED_PX = {"deep-video-portraits": 256, "style-avatar": 1024}


@pytest.mark.parametrize("name", list(methods.known_methods()))
def test_every_built_in_method_keeps_the_interface(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "instruct-pix2pix":
        home = tmp_path_factory.mktemp("home")
        save_tiny_pipeline(home / "assets" / name)
        monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    if name == "tokenflow":
        home = tmp_path_factory.mktemp("home")
        for model in ("portraits-diffusion", "stable-diffusion-2.1-base"):
            save_tiny_text_to_image(home / "assets" / model)
        monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    if name in ("rerender", "rave"):
        home = tmp_path_factory.mktemp("home")
        for model in ("portraits-diffusion", "stable-diffusion-1.5"):
            save_tiny_text_to_image(home / "assets" / model)
        (home / "assets" / "controlnet-canny").mkdir()
        (home / "assets" / "controlnet-canny" / "config.json").write_text("{}")
        monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    cls = methods.method_class(name)
    assert issubclass(cls, Method)
    assert cls.info.name == name
    assert {"smoke", "cpu", "paper"} <= set(cls.profiles())
    sizes = {p: cls(Workspace(tmp_path, p, seed=0)).resolution_px for p in ("smoke", "cpu", "paper")}
    assert sizes["smoke"] <= 64
    assert (sizes["cpu"], sizes["paper"]) == (128, PUBLISHED_PX.get(name, 512))
    assert not list(tmp_path.iterdir()), "building a method must not write"


def test_listing_methods_imports_none() -> None:
    before = set(sys.modules)
    methods.known_methods()
    assert not {name for name in set(sys.modules) - before if name.startswith(("emo_avatar", "baselines"))}


def test_class_in_a_file(plug_in: Path) -> None:
    cls = methods.method_class(f"{plug_in}:Own")
    assert cls.info.title == "Own"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean-fram", "did you mean mean-frame"),
        ("missing.py:Own", "is not a file"),
        ("{file}:NotAMethod", "NotAMethod is not a subclass"),
        ("{file}:Absent", "own_method.py has no class Absent; it has Own"),
        ("{file}", "name its class, as in .*own_method.py:Own; it has Own"),
        ("{file}:", "name its class, as in .*own_method.py:Own; it has Own"),
    ],
)
def test_a_wrong_name_is_one_clear_line(name: str, message: str, plug_in: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        methods.method_class(name.format(file=plug_in))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=list(MISTAKES.values()))
def test_a_mistake_in_the_file_is_one_clear_line(text: str, message: str, plug_in: Path) -> None:
    plug_in.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        methods.method_class(f"{plug_in}:Own")
    assert "\n" not in str(caught.value)


def test_a_method_without_a_resolution_is_refused_when_it_is_built(plug_in: Path, tmp_path: Path) -> None:
    plug_in.write_text(PLUG_IN.replace("    resolution_px = 64\n", ""), encoding="utf-8")
    cls = methods.method_class(f"{plug_in}:Own")
    with pytest.raises(UserError, match="method own: resolution_px is None"):
        methods.build(cls, Workspace(tmp_path, "smoke", 0))


def test_a_file_may_import_what_lies_beside_it(plug_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (plug_in.parent / "beside_own.py").write_text("TITLE = 'From beside'")
    (plug_in.parent / "later_own.py").write_text("PX = 32")
    text = PLUG_IN.replace('"Own", ""', 'TITLE, ""').replace("load(self): ...", "load(self): import later_own")
    plug_in.write_text(f"from beside_own import TITLE\n{text}", encoding="utf-8")
    cls = methods.method_class(f"{plug_in}:Own")
    assert cls.info.title == "From beside"
    cls(Workspace(plug_in.parent, "smoke", 0)).load()


def test_a_command_file_names_no_other_folder(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add-a-command.md").read_text().split("```toml\n")[1].split("```")[0]
    file = tmp_path / "method.toml"
    file.write_text(f'profiles = ["a/../../b"]\n{text}')
    with pytest.raises(UserError, match=r"profiles\.0: 'a/../../b' cannot name a folder: use lower case"):
        methods.method_class(str(file))


def test_installed_plug_ins_are_found_and_cannot_replace_a_built_in(
    plug_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        EntryPoint("own", "own_method:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("mean-frame", "own_method:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("broken", "no_such_module:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("unclosed", "unclosed_method:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("alias", "own_method:Own", methods.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(loading, "entry_points", lambda group: found)
    monkeypatch.syspath_prepend(str(plug_in.parent))
    assert methods.method_class("own").info.title == "Own"
    assert methods.method_class("mean-frame").info.title == "Mean frame"
    with pytest.raises(UserError, match="broken cannot be imported"):
        methods.method_class("broken")
    (plug_in.parent / "unclosed_method.py").write_text("x = ((")
    with pytest.raises(UserError, match=r"unclosed cannot be imported .*SyntaxError.*unclosed_method\.py:1"):
        methods.method_class("unclosed")
    with pytest.raises(UserError, match="calls itself 'own'"):
        methods.method_class("alias")


@pytest.mark.parametrize("given", [None, (3,), ("nope",), "lpips-alex"])
def test_a_method_names_assets_of_the_catalogue(given: object) -> None:
    class Wanting(MeanFrame):
        @classmethod
        def required_assets(cls, profile: str) -> Any:
            return given

    with pytest.raises(MethodError, match=r"method mean-frame: required_assets.'cpu'. gives .* give names of assets"):
        methods.assets_of(Wanting, "cpu")
    assert methods.assets_of(MeanFrame, "cpu") == ()
