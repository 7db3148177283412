"""Every text file is read and written as UTF-8, whatever the machine's locale says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("emo_bench", "emo_avatar", "baselines", "protocols", "reports", "benchmarks")
# PyAV's `open` takes a mode but no text.
NOT_TEXT = {"av"}


def in_the_locales_encoding(source: str) -> list[int]:
    """Lines that open a text file without saying its encoding; ruff's PLW1514 sees only paths whose type it knows."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg == "encoding" for word in node.keywords):
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(owner, ast.Name) and owner.id in NOT_TEXT:
            continue
        modes = [
            a.value
            for a in [*node.args, *(word.value for word in node.keywords if word.arg == "mode")]
            if isinstance(a, ast.Constant) and isinstance(a.value, str) and 0 < len(a.value) <= 3
        ]
        text_mode = any(set(mode) <= set("rwaxt+") for mode in modes)
        given = len(node.args)
        if (
            (name == "read_text" and not given)
            or (name == "write_text" and given == 1)
            or (name == "open" and text_mode)
        ):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("package", SOURCES)
def test_text_files_say_that_they_are_utf8(package: str) -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / package).rglob("*.py"))
        if (lines := in_the_locales_encoding(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("path.read_text()", True),
        ("(a / 'b').write_text(text)", True),
        ("path.open('w', newline='')", True),
        ("open(name, mode='a')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("open(name, 'rb')", False),
        ("av.open(name, 'w')", False),
        ("RunFolder.open(plan, facts)", False),
    ],
)
def test_the_check_sees_what_it_is_for(line: str, wrong: bool) -> None:
    assert in_the_locales_encoding(line) == ([1] if wrong else [])
