"""A run is planned once: each method is built once, each file is read once; mistakes are refused before any work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import emo_bench
from emo_bench.actors.track import Track
from emo_bench.methods import registry
from emo_bench.methods.watched import WatchedMethod
from protocols import loader

METHOD = """
import numpy as np
from emo_bench.methods.interface import Method, MethodInfo

class Grey(Method):
    info = MethodInfo("grey", "Grey", "", "MIT", frozenset({"render", "edit"}), (), "a test")
    resolution_px = 64
    level = 90

    @classmethod
    def profiles(cls):
        return ("smoke",)

    def fit(self, capture, train): ...
    def load(self): ...

    def render(self, capture, indices):
        for i in indices:
            yield np.full((64, 64, 3), self.level, np.uint8)

    def edit(self, style, workspace):
        return Tinted(workspace)

class Tinted(Grey):
    level = 200

class Unedited(Grey):
    info = MethodInfo("unedited", "Unedited", "", "MIT", frozenset({"render"}), (), "a test")
"""


@pytest.fixture
def method(tmp_path: Path) -> str:
    file = tmp_path / "grey.py"
    file.write_text(METHOD)
    return f"{file}:Grey"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method was built, each edit was made of one, and each protocol and track was read."""
    counts: Counter[str] = Counter()
    build, edit, read, load = registry.build, WatchedMethod.edit, loader._read, Track.load

    def counted_build(cls, workspace):  # type: ignore[no-untyped-def]
        counts[f"build {cls.info.name}"] += 1
        return build(cls, workspace)

    def counted_edit(self, style, workspace):  # type: ignore[no-untyped-def]
        counts[f"edit {self.info.name}"] += 1
        return edit(self, style, workspace)

    def counted_read(path):  # type: ignore[no-untyped-def]
        counts[f"protocol {path.stem}"] += 1
        return read(path)

    def counted_load(path):  # type: ignore[no-untyped-def]
        counts[f"track {path.parent.name}"] += 1
        return load(path)

    monkeypatch.setattr(registry, "build", counted_build)
    monkeypatch.setattr(WatchedMethod, "edit", counted_edit)
    monkeypatch.setattr(loader, "_read", counted_read)
    monkeypatch.setattr(Track, "load", counted_load)
    return counts


def test_a_run_with_an_edit_builds_and_reads_everything_once(
    actor: str, method: str, counted: Counter[str], tmp_path: Path
) -> None:
    made = emo_bench.run(method, actor, profile="smoke", device="cpu", runs=tmp_path / "runs")
    assert made.edit is not None
    assert dict(counted) == {
        "build grey": 1,
        "edit grey": 1,
        "build mean-frame": 1,
        "build nearest-frame": 1,
        "protocol self_reenactment-mini": 1,
        "protocol editing-mini": 1,
        "track dot": 1,
    }
