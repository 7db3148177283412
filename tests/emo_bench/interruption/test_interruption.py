"""Kill -9 in each stage, then the same command: same frames, same scores, nothing done that was done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def outcomes(actor_home: Path, quick_protocol_text: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("killed")
    protocol = folder / "quick.toml"
    protocol.write_text(quick_protocol_text)
    environment = {
        **os.environ,
        "EMO_BENCH_HOME": str(actor_home),
        "PYTHONPATH": str(HERE.parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, HERE / "kill_and_rerun.py", "dot", protocol, folder / "runs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_kill_hit_and_every_rerun_ended(outcomes: dict[str, Any]) -> None:
    assert len(outcomes) == 10
    statuses = {place: (outcome["killed"], outcome["ended"]) for place, outcome in outcomes.items()}
    assert statuses.pop("undisturbed") == (0, 0)
    assert set(statuses.values()) == {(-signal.SIGKILL, 0)}


def test_frames_and_scores_are_those_of_an_undisturbed_run(outcomes: dict[str, Any]) -> None:
    assert {o["frames"] for o in outcomes.values()} == {outcomes["undisturbed"]["frames"]}
    assert {o["scores"] for o in outcomes.values()} == {outcomes["undisturbed"]["scores"]}


def test_nothing_half_written_is_left(outcomes: dict[str, Any]) -> None:
    assert {place: outcome["leftovers"] for place, outcome in outcomes.items() if outcome["leftovers"]} == {}


def test_finished_stages_are_not_done_again(outcomes: dict[str, Any]) -> None:
    attempts = {place: tuple(outcome["attempts"].values()) for place, outcome in outcomes.items()}
    assert attempts == {
        "undisturbed": (1, 1, 1),
        "fit, before its first checkpoint": (2, 1, 1),
        "fit, between two checkpoints": (2, 1, 1),
        "fit, before its mark": (2, 1, 1),
        "render, amid the frames": (1, 2, 1),
        "render, before its mark": (1, 2, 1),
        "score, amid the frames": (1, 1, 2),
        "score, before its mark": (1, 1, 2),
        "score, before the scores are renamed": (1, 1, 2),
        "the manifest, before it is renamed": (2, 1, 1),
    }
