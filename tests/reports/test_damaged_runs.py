"""Runs that came from somebody or were damaged: one line, or a report of what is whole."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emo_bench.errors import LONGEST

Call = Callable[..., tuple[int, str, str]]
MEAN, NEAREST = "mean-frame", "nearest-frame"

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20),
    st.sampled_from([[], {}, [[]], {"name": 1}, "x" * 100_000, "\x1b[31m\n", "../../x", "/etc", "0-99999999", "9" * 99]),
    st.integers(1, 3000).map(lambda depth: f"nested {depth}"),
)  # fmt: skip


def place(runs: Path, method: str) -> Path:
    """The folder of a stand-in's run."""
    return next(path for path in runs.rglob("smoke-s0") if path.parent.name == method)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every entry of a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [path for key in keys for path in [(*here, key), *places(value[key], (*here, key))]]


@st.composite
def mutated(draw: st.DrawFn, manifest: dict[str, Any]) -> bytes:
    """A manifest with one to three entries deleted, replaced or added; now and then torn."""
    changed = copy.deepcopy(manifest)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(changed) or [("format",)]))
        holder = changed
        for key in way:
            holder = holder[key]
        kind = draw(st.sampled_from(["delete", "replace", "replace", "add"]))
        if kind == "delete":
            del holder[last]
        elif kind == "replace":
            holder[last] = draw(VALUES)
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = draw(VALUES)
    text = json.dumps(changed)
    depth = text.find('"nested ')
    if depth >= 0:
        count = int(text[depth + 8 :].partition('"')[0])
        text = text.replace(f'"nested {count}"', "[" * count + "]" * count)
    content = text.encode("utf-8", "surrogatepass")
    return content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 20)) == 0 else content


def require_one_line_or_success(outcome: tuple[int, str, str]) -> None:
    """Exit code 0, or 2 with one line."""
    code, _, errors = outcome
    assert code in (0, 2), errors
    if code == 2:
        assert len(errors.strip().splitlines()) == 1, errors
        assert len(errors) < LONGEST + 100


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_manifest_is_one_line_or_reported(data: st.DataObject, runs: Path, call: Call) -> None:
    folder, other = place(runs, MEAN), place(runs, NEAREST)
    kept = folder.parents[1] / "whole.json"
    if not kept.exists():
        shutil.copy(folder / "run.json", kept)
    (folder / "run.json").write_bytes(data.draw(mutated(json.loads(kept.read_text()))))
    for command in (
        ("report", folder, "--out", runs.parent / "out", "--no-videos"),
        ("show", folder),
        ("show", folder, "--json"),
        ("compare", folder, other),
    ):
        require_one_line_or_success(call(*command))
    with_the_others = call("report", runs, "--out", runs.parent / "out", "--no-videos")
    assert with_the_others[0] == 0, "the other run is whole"
