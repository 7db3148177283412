"""An actor that is replaced: whenever the command is ended, the old one or the new one is there, whole."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from emo_bench.actors import half_made
from emo_bench.actors.half_made import making, put_in_place, remove_half_made
from emo_bench.errors import Terminated

FILES = ("video.mp4", "track.npz", "capture.json")
ASIDE = ".anna-0123456789abcdef.old"


def fill(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / name).write_text(text)
    return folder


def content(captures: Path) -> dict[str, set[str]]:
    """The texts of each folder's files; a folder that lacks one has the text ``lost``."""
    return {
        folder.name: {(folder / name).read_text() if (folder / name).exists() else "lost" for name in FILES}
        for folder in captures.iterdir()
    }


def test_a_new_actor_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    fill(tmp_path / "anna", "old")
    with making("anna", tmp_path) as folder:
        put_in_place(fill(folder, "new"), tmp_path / "anna")
    assert content(tmp_path) == {"anna": {"new"}}


@pytest.mark.parametrize("step", ["before", "after"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_termination_at_any_rename_leaves_one_whole_actor(
    call: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "anna", "old")
    rename, calls = os.rename, 0

    def ended(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == call and step == "before":
            os.kill(os.getpid(), signal.SIGTERM)
        rename(source, target)
        if calls == call and step == "after":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(half_made.os, "rename", ended)

    def replace() -> None:
        with making("anna", tmp_path) as folder:
            put_in_place(fill(folder, "new"), tmp_path / "anna")

    with pytest.raises(Terminated):
        replace()
    assert content(tmp_path) == {"anna": {"new" if (call, step) == (2, "after") else "old"}}


def test_a_termination_while_the_old_actor_is_removed_leaves_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "anna", "old")

    def ended(folder: Path) -> None:
        (folder / FILES[2]).unlink()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(half_made, "remove_tree", ended)

    def replace() -> None:
        with making("anna", tmp_path) as folder:
            put_in_place(fill(folder, "new"), tmp_path / "anna")

    with pytest.raises(Terminated):
        replace()
    assert content(tmp_path)["anna"] == {"new"}
    monkeypatch.undo()
    remove_half_made(tmp_path)
    assert content(tmp_path) == {"anna": {"new"}}


def test_an_actor_that_a_killed_process_set_aside_gets_its_name_back(tmp_path: Path) -> None:
    fill(tmp_path / ASIDE, "old")
    fill(tmp_path / ".anna-fedcba9876543210.part", "new")
    remove_half_made(tmp_path)
    assert content(tmp_path) == {"anna": {"old"}}
