"""The contract test finds what it is there to find, and passes methods that keep it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from emo_bench import actors
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.contract import checks as contract
from emo_bench.methods.contract.checks import check_method
from emo_bench.methods.contract.withholding import withhold

ROOT = Path(__file__).resolve().parents[2]
BASE = (ROOT / "docs" / "add-a-method.md").read_text()
FIT = "def fit(self, capture, train):\n        "
BREACHES = {
    "NotAgain": ("same seed", FIT + (
        "import os\n        np.save(self.workspace.folder / 'checkpoint.npy', "
        "np.frombuffer(os.urandom(128 * 128 * 3), np.uint8).reshape(128, 128, 3))"
    )),
    "Peeks": ("held-out pictures", FIT + (
        "import av, itertools\n        with av.open(str(capture.video)) as c:\n      "
        "      frames = [f.to_ndarray(format='rgb24') for f in itertools.islice(c.decode(video=0), 40)]\n        "
        "np.save(self.workspace.folder / 'checkpoint.npy', frames[-1][:128, :128])"
    )),
    "LoadsTheActor": ("held-out pictures", FIT + (
        "from emo_bench import actors\n        np.save(self.workspace.folder "
        "/ 'checkpoint.npy', next(actors.load(capture.name).frames([30], 128)))"
    )),
    "LooksBesideTheTrack": ("held-out pictures", FIT + (
        "import dataclasses\n        whole = "
        "dataclasses.replace(capture, video=capture.track_file.parent / f'actor-{capture.name}.mp4', readable=None)\n "
        "       np.save(self.workspace.folder / 'checkpoint.npy', next(whole.frames([30], 128)))"
    )),
    "RendersTheTruth": ("held-out pictures", (
        "def render(self, capture, indices):\n        import dataclasses\n       "
        " yield from dataclasses.replace(capture, readable=None).frames(indices, 128)"
    )),
    "CannotGoOn": ("killed in the fit", FIT + (
        "import time\n        (self.workspace.folder / 'begun').mkdir()\n       "
        " time.sleep(0.8)\n        super().fit(capture, train)"
    )),
    "Small": ("frames:", (
        "def render(self, capture, indices):\n        yield from (np.zeros((64, 64, 3), np.uint8) for _ in indices)"
    )),
    "Floats": ("frames:", (
        "def render(self, capture, indices):\n        yield from (np.ones((128, 128, 3), np.uint8) for _ in indices)"
    )),
    "TakesAnySetting": ("an unknown setting", "def __init__(self, workspace):\n        self.workspace = workspace"),
    "OnlySaysEdit": ("capabilities", (
        "from dataclasses import replace\n    info = replace(FirstFrame.info, "
        "capabilities=frozenset({'render', 'edit'}))"
    )),
    "Mute": ("describe", "def describe(self):\n        return {'config': {'path': object()}}"),
}  # fmt: skip

FAILING = """
name = "fails"
title = "Fails"
licence = "MIT"
fidelity = "a test"
resolution_px = 64
layout = "plain"
[fit]
command = "echo oops; exit 3"
timeout_s = 30
[render]
command = "true"
timeout_s = 30
frames = "{out}"
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A folder that a failed check names is kept, here rather than in /tmp.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
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
    failed = next((check for check in check_method(f"{example}:{name}") if check.ok is False), None)
    assert failed is not None and failed.name.startswith(BREACHES[name][0])


def test_the_log_that_a_failed_check_names_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "method.toml"
    file.write_text(FAILING)
    failed = [check for check in check_method(str(file)) if check.ok is False]
    named = re.search(r"see (\S+command\.log)", failed[0].detail)
    assert named and "oops" in Path(named[1]).read_text(encoding="utf-8")
    assert "is kept" in failed[0].detail


def test_nothing_is_left_when_no_file_is_named(example: Path, tmp_path: Path) -> None:
    assert [check for check in check_method(f"{example}:Small") if check.ok is False]
    assert not list(tmp_path.glob("emo-bench-check-*"))


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
