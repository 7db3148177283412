"""The contract test finds what it is there to find, and passes methods that keep it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from emo_bench import actors, contract, methods
from emo_bench.contract import check_method, withhold
from emo_bench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
BASE = (ROOT / "docs" / "add-a-method.md").read_text()
BREACHES = {
    "NotAgain": ("same seed", "def fit(self, capture, train):\n        import os\n        np.save(self.workspace.folder / 'checkpoint.npy', np.frombuffer(os.urandom(128 * 128 * 3), np.uint8).reshape(128, 128, 3))"),
    "Peeks": ("held-out pictures", "def fit(self, capture, train):\n        import av\n        with av.open(str(capture.video)) as c:\n            frames = [f.to_ndarray(format='rgb24') for f in c.decode(video=0)]\n        np.save(self.workspace.folder / 'checkpoint.npy', frames[-1][:128, :128])"),
    "Small": ("frames:", "def render(self, capture, indices):\n        yield from (np.zeros((64, 64, 3), np.uint8) for _ in indices)"),
    "Floats": ("frames:", "def render(self, capture, indices):\n        yield from (np.ones((128, 128, 3), np.uint8) for _ in indices)"),
    "Mute": ("describe", "def describe(self):\n        return {'config': {'path': object()}}"),
}  # fmt: skip


@pytest.fixture
def example(tmp_path: Path) -> Path:
    code = re.search(r"```python\n(.*?)```", BASE, flags=re.DOTALL)
    assert code is not None
    more = "".join(f"\n\nclass {name}(FirstFrame):\n    {body}\n" for name, (_, body) in BREACHES.items())
    file = tmp_path / "first_frame.py"
    file.write_text(code[1] + more)
    return file


def test_the_documented_method_keeps_the_contract(example: Path) -> None:
    checks = list(check_method(f"{example}:FirstFrame"))
    assert not [check for check in checks if check.ok is False]
    assert sum(check.ok is True for check in checks) >= 6


@pytest.mark.parametrize("name", list(BREACHES))
def test_a_breach_is_found(example: Path, name: str) -> None:
    failed = [check for check in check_method(f"{example}:{name}") if check.ok is False]
    assert failed and failed[0].name.startswith(BREACHES[name][0])


def test_held_out_pictures_are_not_in_the_video(tmp_path: Path) -> None:
    capture = actors.load("1")
    removed = withhold(capture, contract.TRAIN, tmp_path / "w.mkv")
    for mine, theirs in zip(removed.frames(contract.TRAIN), capture.frames(contract.TRAIN), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(UserError, match="frame 30 is missing"):
        next(removed.frames([30]))


def test_official_templates_are_valid() -> None:
    files = sorted((ROOT / "baselines" / "official").glob("*.toml"))
    assert len(files) == 5
    for file in files:
        info = methods.method_class(str(file)).info
        assert "untested" in info.fidelity and any("CUDA" in need for need in info.requirements)
