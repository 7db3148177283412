"""The resumable loop: killed between two states it ends as if it had not been."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from baselines.training_state import load_checkpoint, run_training, save_checkpoint
from emo_avatar.checkpointing import load_state
from emo_bench.errors import UserError


class Descent:
    """Adam on a noisy quadratic; dies once at a given step."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.step, self._dies_at = 0, dies_at
        self.weight = torch.nn.Parameter(torch.ones(5))
        self._optimizer = torch.optim.Adam([self.weight], lr=0.1)

    def run_step(self) -> dict[str, float]:
        if self.step == self._dies_at:
            raise KeyboardInterrupt
        target = torch.from_numpy(np.random.default_rng((3, self.step)).normal(size=5)).float()
        loss = ((self.weight - target) ** 2).sum()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.step += 1
        return {"loss": float(loss.detach())}

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "weight": self.weight.detach(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        with torch.no_grad():
            self.weight.copy_(state["weight"])
        self._optimizer.load_state_dict(state["optimizer"])


def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole, first, second = Descent(), Descent(dies_at=13), Descent()
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    run_training(whole, tmp_path / "whole", 20, 5, "test")
    with pytest.raises(KeyboardInterrupt):
        run_training(first, tmp_path / "cut", 20, 5, "test")
    state = load_state(tmp_path / "cut" / "train.pt")
    assert state is not None and state["step"] == 10
    run_training(second, tmp_path / "cut", 20, 5, "test")
    assert torch.equal(whole.weight, second.weight)
    rows = [list(csv.DictReader((tmp_path / name / "train.csv").open())) for name in ("whole", "cut")]
    assert rows[0] == rows[1] and [int(row["step"]) for row in rows[0]] == list(range(20))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        load_checkpoint(tmp_path, "{}")
    save_checkpoint(tmp_path, {"a": torch.arange(3)}, "{}")
    assert torch.equal(load_checkpoint(tmp_path, "{}")["a"], torch.arange(3))
    with pytest.raises(UserError, match="other settings"):
        load_checkpoint(tmp_path, '{"steps":1}')
