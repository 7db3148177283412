"""What actors may be called, in every script; and that a killed `actors add` leaves nothing of a person's video."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench import actors
from emo_bench.actors.half_made import making, remove_half_made
from emo_bench.actors.library import require_free
from emo_bench.actors.names import check_name, is_name, same_name
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.runner import run

ROOT = Path(__file__).resolve().parents[2]
GOOD = [
    "anna",
    "1",
    "Anna-2_b.c",
    "梵高",
    "Ёлка",
    "Ωmega",
    "名前3",
    "ไทย",
    "हिन्दी",
    "Zoë",
    "آدم",
    "한국",
    "x" * 64,
    "字" * 60,
]
BAD = ["", ".hidden", "-dash", "_x", "a/b", "a\\b", "..", "a b", "a\nb", "a\x00b", "\u202eanna", "an\u200dna",
    "a\u2066b", "a'b", "a<b>",
       "a|b", "a`b", "x" * 65, "字" * 61, "\u3164", "a\ufe0f", "\u0301a", "😀", "a\u00a0b", "\ud800", "a*", "a%b",
       "a:b",
       "=1"]  # fmt: skip
MAKER = """
import sys, time
from pathlib import Path
from emo_bench.actors.half_made import making
with making("anna", Path(sys.argv[1])) as folder:
    (folder / "video.mp4").write_bytes(b"a person")
    (Path(sys.argv[1]) / "begun").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("name", GOOD)
def test_letters_of_any_script_name_an_actor(name: str) -> None:
    assert check_name(name) == name and check_name(unicodedata.normalize("NFD", name)) == name


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_safe_in_a_path_or_page_does_not(name: str) -> None:
    with pytest.raises(UserError) as refused:
        check_name(name)
    said = str(refused.value)
    assert "cannot name an actor: use letters, digits" in said and said.isprintable()


@given(st.text(max_size=80))
def test_a_name_is_a_folder_of_its_own(text: str) -> None:
    if is_name(text):
        assert text.isprintable() and not set(text) & set("/\\:*?\"<>|'`$&;%#= \t\n")
        assert text[0] not in ".-_" and len(os.fsencode(f"driven-by-{text}.mp4")) < 200
        assert unicodedata.normalize("NFC", text) == text
        assert all(
            unicodedata.bidirectional(c) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
            for c in text
        )


def test_names_that_some_file_systems_take_for_one() -> None:
    assert same_name("Anna", "anna") and same_name("\uff21\uff22", "ab") and same_name("straße", "STRASSE")
    assert not same_name("anna", "hanna")


@pytest.fixture
def home(actor_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the actor 梵高, whose folder a file system keeps decomposed, and one called Émile."""
    home = tmp_path / "home"
    for name in ("梵高", unicodedata.normalize("NFD", "Émile")):
        shutil.copytree(actor_home / "captures" / "dot", home / "captures" / name)
    monkeypatch.setenv("EMO_BENCH_HOME", str(home))
    monkeypatch.setenv("EMO_BENCH_OFFLINE", "1")
    return home


def test_actors_are_found_by_their_composed_name(home: Path) -> None:
    assert {"梵高", "Émile"} <= {info.name for info in actors.list_actors()}
    for given_name in ("Émile", unicodedata.normalize("NFD", "Émile")):
        assert actors.load(given_name).name == "Émile"
    # Also where the file system would open it.
    with pytest.raises(UserError, match="there is no actor 'émile'"):
        actors.load("émile")
    assert require_free("Émile", replace=True).is_dir()
    with pytest.raises(UserError, match="actor Émile exists already: choose another --name, or remove"):
        require_free("Émile", replace=False)
    with pytest.raises(
        UserError, match="actor Émile exists already, and some file systems do not distinguish it from ÉMILE"
    ):
        require_free("ÉMILE", replace=False)
    assert require_free("new", replace=False) == home / "captures" / "new"


def test_pages_of_a_report_hold_such_a_name(home: Path, protocol_file: str, tmp_path: Path) -> None:
    request = RunRequest("mean-frame", "梵高", protocol_file, profile="smoke", runs_dir=tmp_path / "runs", device="cpu")
    folders = run(request)
    assert folders[0] == tmp_path / "runs" / "quick" / "梵高" / "mean-frame" / "smoke-s0"
    out = tmp_path / "report"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "runs"), "--out", str(out), "--no-videos"])
    assert ended.value.code == 0
    for page in ("report.md", "report.html", "report.tex", "report.json"):
        assert "梵高" in (out / page).read_text(encoding="utf-8"), page
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        assert {row["actor"] for row in csv.DictReader(file)} == {"梵高"}
    markdown = (out / "report.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", markdown)
    assert all(target.isascii() and (out / unquote(target)).exists() for target in targets if "://" not in target)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_actor_that_is_being_made_goes_when_its_maker_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    maker = begin(tmp_path)
    maker.send_signal(number)
    assert maker.wait(timeout=30) != 0
    assert [file.name for file in tmp_path.iterdir()] == ["begun"]


def test_the_next_command_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = tmp_path / "captures"
    captures.mkdir()
    living, killed = begin(captures), begin(captures)
    killed.kill()
    killed.wait()
    (captures / "kept").mkdir()
    (captures / ".kept-0123456789abcdef.part").symlink_to(captures / "kept")
    assert len(list(captures.glob(".anna-*.part"))) == 2
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["actors", "list"])
    assert len(list(captures.glob(".anna-*.part"))) == 1 and (captures / "kept").is_dir()
    living.terminate()
    living.wait(timeout=30)
    assert not list(captures.glob(".anna-*.part"))


def test_a_whole_actor_takes_its_place(tmp_path: Path) -> None:
    with making("梵高", tmp_path) as folder:
        (folder / "video.mp4").touch()
        remove_half_made(tmp_path)
        folder.rename(tmp_path / "梵高")
    assert [file.name for file in tmp_path.rglob("*")] == ["梵高", "video.mp4"]
    assert (tmp_path / "梵高").stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def begin(captures: Path) -> subprocess.Popen[bytes]:
    (captures / "begun").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(captures)], env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (captures / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    return maker
