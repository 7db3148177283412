"""Ablation files: what ships is whole, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_bench.errors import UserError
from protocols.ablation import DEFAULT, load_ablation
from protocols.loader import list_protocols, load_protocol

SMALL = """
version = 1
method = "m"
reference = "a"
[[table]]
id = "t"
title = "T"
variants = ["a", "b"]
[[variant]]
name = "a"
title = "A"
[[variant]]
name = "b"
title = "B"
settings = { steps = 3, frozen = false, rate = 0.5, sizes = "1,2" }
by_profile.paper = { steps = "9" }
"""


def small(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in SMALL
    file = tmp_path / "small.toml"
    file.write_text(SMALL.replace(old, new) if old else SMALL)
    return file


def test_the_file_that_ships_names_all_of_the_issue() -> None:
    ablation = load_ablation()
    named = {variant.name for variant in ablation.variant}
    assert {"ne-avatar", "unaligned-inv", "without-patch", "ours-in2n", "ours"} <= named
    assert [figure.id for figure in ablation.figure] == ["figure-3", "figure-6"]
    listed = {name for table in ablation.table for name in table.variants}
    assert listed == named, "every variant stands in a table"
    edited = {variant.name for variant in ablation.variant if variant.edit is not None}
    assert edited == set(ablation.table[0].variants), "table 4 has the edits"


def test_it_is_no_protocol() -> None:
    assert DEFAULT.stem not in {protocol.name for protocol in list_protocols()}
    with pytest.raises(UserError, match="there is no protocol 'ablation'"):
        load_protocol("ablation")


def test_settings_are_text_as_on_the_command_line(tmp_path: Path) -> None:
    variant = load_ablation(small(tmp_path)).variant[1]
    assert variant.settings_of("cpu") == {"steps": "3", "frozen": "false", "rate": "0.5", "sizes": "1,2"}
    assert variant.settings_of("paper")["steps"] == "9"


def test_the_reference_comes_first_whatever_is_asked_for(tmp_path: Path) -> None:
    ablation = load_ablation(small(tmp_path, 'reference = "a"', 'reference = "b"'))
    assert [v.name for v in ablation.chosen([])] == ["b", "a"]
    assert [v.name for v in ablation.chosen(["a"])] == ["b", "a"]
    assert [v.name for v in load_ablation().chosen(["window-3", "no-flow"])] == ["ours", "window-3", "no-flow"]
    with pytest.raises(UserError, match="did you mean no-flow"):
        load_ablation().chosen(["noflow"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('reference = "a"', 'reference = "c"', "there is no variant 'c'"),
        ('variants = ["a", "b"]', 'variants = ["a", "x"]', "there is no variant 'x'"),
        ('name = "b"', 'name = "a"', "two variants have one name"),
        ('title = "B"', 'titel = "B"', "variant.1: there is no key 'titel'; did you mean title?"),
        ("version = 1", "version = ", "cannot be read as TOML"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_ablation(small(tmp_path, old, new))
    assert "\n" not in str(error.value) or "TOML" in str(error.value)
