"""The registry: names, plug-ins, files, and what each wrong name is told."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from emo_bench import methods
from emo_bench.errors import UserError
from emo_bench.method import Method, Workspace

PLUG_IN = """
from emo_bench.method import Method, MethodInfo

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


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    file = tmp_path / "own_method.py"
    file.write_text(PLUG_IN)
    return file


PUBLISHED_PX = {"deep-video-portraits": 256, "style-avatar": 1024}


@pytest.mark.parametrize("name", list(methods.known_methods()))
def test_every_built_in_method_keeps_the_interface(name: str, tmp_path: Path) -> None:
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
        ("{file}:Absent", "Absent is not a subclass"),
    ],
)
def test_a_wrong_name_is_one_clear_line(name: str, message: str, plug_in: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        methods.method_class(name.format(file=plug_in))
    assert "\n" not in str(caught.value)


def test_installed_plug_ins_are_found_and_cannot_replace_a_built_in(
    plug_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        EntryPoint("own", "own_method:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("mean-frame", "own_method:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("broken", "no_such_module:Own", methods.ENTRY_POINT_GROUP),
        EntryPoint("alias", "own_method:Own", methods.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(methods, "entry_points", lambda group: found)
    monkeypatch.syspath_prepend(str(plug_in.parent))
    assert methods.method_class("own").info.title == "Own"
    assert methods.method_class("mean-frame").info.title == "Mean frame"
    with pytest.raises(UserError, match="broken cannot be imported"):
        methods.method_class("broken")
    with pytest.raises(UserError, match="calls itself 'own'"):
        methods.method_class("alias")
