"""docs/add-an-asset.md, followed literally; and plug-ins whose assets are wrong, each left out with one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from emo_bench import assets
from emo_bench.assets import catalogue, registered
from emo_bench.assets.entries import assets_of_entries
from emo_bench.assets.licences import ledger
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.plug_ins import loading

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "add-an-asset.md").read_text(encoding="utf-8")
ENTRY: dict[str, Any] = {
    "name": "mine", "file": "mine.bin", "kind": "a test", "licence": "MIT", "needed_by": ["nothing"],
    "source": "us", "urls": ["https://example.org/mine.bin"],
}  # fmt: skip
Register = Callable[..., None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Install packages: file names to texts, and entry points."""
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(files: dict[str, str], **entries: str) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text, encoding="utf-8")
        points = [EntryPoint(name.replace("_", "-"), value, "emo_bench.assets") for name, value in entries.items()]
        monkeypatch.setattr(loading, "entry_points", lambda group: points if group == "emo_bench.assets" else [])
        registered._entry_points.cache_clear()
        registered._read.cache_clear()

    yield install
    registered._entry_points.cache_clear()
    registered._read.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("package_of_test"):
            del sys.modules[name]


def test_the_documented_asset_is_listed_found_and_in_the_ledger(
    register: Register, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toml = re.search(r"```toml\n# my_package/assets\.toml\n(.*?)```", PAGE, re.DOTALL)
    entry = re.search(r'^([\w-]+) = "my_package:assets\.toml"', PAGE, re.MULTILINE)
    assert toml is not None and entry is not None
    register({"my_package/assets.toml": toml[1]}, **{entry[1].replace("-", "_"): "my_package:assets.toml"})
    asset = assets.find_asset("my-segmenter")
    assert asset.plug_in == "my-package" and assets.list_assets()[-1] == asset and not assets.broken_plug_ins()
    assert "my_package" not in sys.modules
    given = tmp_path / "given.bin"
    given.write_bytes(b"mine")
    with pytest.raises(SystemExit) as ended:
        main(["assets", "add", "my-segmenter", str(given)])
    assert ended.value.code == 0 and assets.require("my-segmenter").verified
    (line,) = [line for line in ledger() if line.name == "my-segmenter"]
    assert (line.licence, line.here, line.note) == ("Apache-2.0", True, "method my-avatar, plug-in my-package")
    capfd.readouterr()
    with pytest.raises(SystemExit):
        main(["assets", "list"])
    assert "my-segmenter" in capfd.readouterr().out


def test_a_function_gives_entries_and_may_list_the_assets_itself(register: Register) -> None:
    code = f"from emo_bench import assets\nSEEN = len(assets.list_assets())\ndef entries(): return ({ENTRY!r},)\n"
    register({"package_of_test/weights.py": code}, own="package_of_test.weights:entries")
    assert assets.find_asset("mine.bin").plug_in == "own"
    assert len(assets.list_assets()) - 1 == sys.modules["package_of_test.weights"].SEEN


# A module of the plug-in, its function, and its file.
A, F = "package_of_test/a.py", "package_of_test.a:f"
ASSETS, TOML = "package_of_test/assets.toml", "package_of_test:assets.toml"
OURS = assets.list_assets()[0]
BROKEN = {
    "no package": ({}, "no_such_package:assets.toml", "there is no package no_such_package"),
    "no file": ({A: ""}, TOML, "assets.toml cannot be read"),
    "no TOML": ({ASSETS: "x = "}, TOML, "cannot be read as TOML"),
    "other tables": (
        {ASSETS: "[weights]\n"}, TOML, "and nothing else; it has 'weights'"
    ),
    "import": ({A: "import no_module_of_test"}, F, "No module named 'no_module_of"),
    "no function": ({A: "f = 7"}, F, "package_of_test.a has no function f"),
    "raises": ({A: "def f(): return 1 / 0"}, F, "f failed: ZeroDivisionError"),
    "exits": ({A: "import sys\ndef f(): sys.exit(0)"}, F, "it called sys.exit(0)"),
    "no list": ({A: "def f(): return 7"}, F, "f failed: TypeError"),
    "ours": (
        {A: f"def f(): return [{ {**ENTRY, 'name': OURS.name}!r}]"}, F,
        f"asset {OURS.name}: {OURS.name!r} is already the name or file of another asset",
    ),
    "our file": (
        {A: f"def f(): return [{ {**ENTRY, 'file': OURS.file}!r}]"}, F,
        f"{OURS.file!r} is already the name or file of another asset",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "value", "said"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_plug_in_is_left_out_with_one_line(
    files: dict[str, str], value: str, said: str, register: Register, capfd: pytest.CaptureFixture[str]
) -> None:
    sound = {"package_of_test_sound/b.py": f"def f(): return [{ENTRY!r}]"}
    register({**files, **sound}, broken=value, sound="package_of_test_sound.b:f")
    (problem,) = assets.broken_plug_ins()
    assert problem.startswith("assets of plug-in broken: ") and said in problem and "\n" not in problem
    assert assets.find_asset("mine").plug_in == "sound" and assets.find_asset(OURS.name) == OURS
    with pytest.raises(UserError, match=r"there is no asset 'other'.*left out: assets of plug-in broken: "):
        assets.find_asset("other")
    with pytest.raises(SystemExit) as ended:
        main(["assets", "list", "--json"])
    out, err = capfd.readouterr()
    assert ended.value.code == 0 and err.count("\n") == 1 and err.startswith("note: left out: assets of plug-in broken")
    assert {"mine", OURS.name} <= {row["asset"]["name"] for row in json.loads(out)}


def test_two_plug_ins_cannot_register_one_name(register: Register) -> None:
    code = f"def f(): return [{ENTRY!r}]"
    register({A: code, "package_of_test/b.py": code}, a=F, b="package_of_test.b:f")
    assert assets.find_asset("mine").plug_in == "a"
    assert "'mine' is already the name or file of plug-in a" in assets.broken_plug_ins()[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../up"}, "name is '../up'; it must be lower case"),
        ({"file": "../../etc/passwd"}, "file is '../../etc/passwd'; it must be a file name without folders"),
        ({"file": None}, "file is None"),
        ({"licence": ""}, "licence is ''; it must be one line of text"),
        ({"needed_by": "all"}, "needed_by is 'all'; it must be a list of texts"),
        ({"size_bytes": True}, "size_bytes is True; it must be a whole number"),
        ({"sha256": "ABC"}, "sha256 is 'ABC'; it must be 64 hexadecimal digits"),
        ({"urls": ["file:///etc/passwd"]}, "it must be a list of addresses that begin with https://"),
        ({"urls": []}, "has neither urls nor carriers nor made_by: say how to get it"),
        ({"holds": ["/etc/*"]}, "it must be a list of file names or patterns inside the folder"),
        ({"holds": ["*.bin"]}, "does not say which files to fetch"),
        ({"bundled": "weights"}, "bundled is 'weights'; it must be a path that begins with the package"),
        ({"carriers": [{"distribution": "x"}]}, "carriers[0]: file is missing"),
        ({"carriers": [7]}, "carriers[0] is 7, not a table"),
        ({"colour": "red"}, "there is no field 'colour' (known: name, file"),
        ({"plug_in": "x"}, "there is no field 'plug_in'"),
    ],
)
def test_a_wrong_entry_is_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        assets_of_entries([{**ENTRY, **change}], "here")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("here: asset ")


def test_a_missing_field_and_a_wrong_whole_are_one_line() -> None:
    with pytest.raises(UserError, match="here: asset mine: licence is missing"):
        assets_of_entries([{key: value for key, value in ENTRY.items() if key != "licence"}], "here")
    for whole in (7, {"mine": ENTRY}, [[ENTRY]], [ENTRY] * 1001, [ENTRY, ENTRY]):
        with pytest.raises(UserError, match=r"^here: "):
            assets_of_entries(whole, "here")


def test_our_catalogue_fits_the_same_rules() -> None:
    assert len(catalogue.read_catalogue(catalogue.CATALOGUE)) > 20
