"""Real fits with a limit on their time."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from baselines.insta.method import Insta
from baselines.point_avatar.method import PointAvatar
from emo_bench import actors
from emo_bench.methods.interface import Workspace
from emo_bench.methods.max_minutes import read_record
from emo_bench.methods.training.learning_rate import cosine_share
from emo_bench.methods.training.state_file import load_state

STEPS, LIMIT_S = 3000, 4.0


def test_a_fit_of_a_few_seconds_has_gone_through_its_whole_schedule(tmp_path: Path) -> None:
    settings = {"steps": str(STEPS), "max_minutes": str(LIMIT_S / 60), "checkpoint_every_steps": "1000"}
    method = Insta(Workspace(tmp_path, "smoke", 0, settings=settings))
    train = list(range(0, 60, 10))
    method.fit(actors.load("1").restricted(train), train)
    record = read_record(tmp_path)
    rows = list(csv.DictReader((tmp_path / "train.csv").open()))
    times = LIMIT_S / max(record.steps_taken, 1) if record else 0.0
    assert record is not None and record.steps_taken == len(rows) < STEPS
    assert record.seconds == pytest.approx(LIMIT_S, abs=1.0 + 5 * times)
    assert int(rows[-1]["step"]) == STEPS - 1
    state = load_state(tmp_path / "train.pt")
    assert state is not None
    rate = state["optimizer"]["param_groups"][0]["lr"]
    peak, final = method.config.lr, method.config.final_lr_share
    assert rate == pytest.approx(peak * cosine_share(STEPS - 1, STEPS, final)) == pytest.approx(peak * final, rel=1e-3)
    assert all(torch.isfinite(tensor).all() for tensor in state["average"].values())


def test_the_points_of_point_avatar_are_doubled_with_a_limit_too(tmp_path: Path) -> None:
    chosen = {"steps": str(STEPS), "growths": "2", "growth_share": "0.5", "prunings": "0", "prune_below": "0"}
    settings = {**chosen, "max_minutes": str(LIMIT_S / 60), "checkpoint_every_steps": "1000"}
    method = PointAvatar(Workspace(tmp_path, "smoke", 0, settings=settings))
    train = list(range(0, 60, 10))
    method.fit(actors.load("1").restricted(train), train)
    rows = {int(row["step"]): float(row["points"]) for row in csv.DictReader((tmp_path / "train.csv").open())}
    assert len(rows) < STEPS and {0, STEPS // 4, STEPS // 2, STEPS - 1} <= set(rows)
    assert 4 * rows[0] == 2 * rows[STEPS // 4] == rows[STEPS // 2] == rows[STEPS - 1]
