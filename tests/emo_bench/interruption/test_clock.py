"""A clock that is set back again and again while a run is made changes nothing but dates."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from emo_bench.runs import runner
from emo_bench.runs.finished import load_run
from emo_bench.runs.plan import RunRequest


def test_a_clock_that_goes_backwards(
    actor: str, protocol_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(folder: str) -> Path:
        request = RunRequest(
            "mean-frame", actor, protocol_file, profile="smoke", runs_dir=tmp_path / folder, device="cpu"
        )
        return runner.run(request, trivial=False)[0]

    expected = load_run(made("steady"))
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1.7e9 - 3600.0 * next(hours))
    began = time.monotonic()
    found = load_run(made("jumping"))
    took_s = time.monotonic() - began
    assert next(hours) > 1, "nothing asked for the time"
    # The place of a run has no date, and neither its scores nor its seconds come from the clock.
    assert found.path.relative_to(tmp_path / "jumping") == expected.path.relative_to(tmp_path / "steady")
    assert found.scores.equals(expected.scores)
    assert all(0 <= stage["seconds"] <= took_s for stage in found.manifest["stages"].values())
    # The same command finds everything done.
    stages = found.manifest["stages"]
    assert load_run(made("jumping")).manifest["stages"] == stages
