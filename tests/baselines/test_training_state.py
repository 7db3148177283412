"""The resumable loop: killed between two states it ends as if it had not been."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_bench.errors import UserError
from emo_bench.methods.training.fitted import load_array, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.loop import run_training
from emo_bench.methods.training.state_file import load_state


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
        return {"step": self.step, "weight": self.weight.detach(), "optimizer": self._optimizer.state_dict()}

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


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "text", "pickle"])
def test_a_damaged_state_is_left_aside_and_the_training_starts_again(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Descent()
    (tmp_path / "whole").mkdir()
    run_training(whole, tmp_path / "whole", 20, 5, "test")
    with pytest.raises(KeyboardInterrupt):
        run_training(Descent(dies_at=13), tmp_path, 20, 5, "test")
    file = tmp_path / "train.pt"
    content = bytearray(file.read_bytes())
    if damage == "one bit":
        place = content.find(np.float32(load_state(file)["weight"][0]).tobytes())  # type: ignore[index]
        assert place > 0
        content[place] ^= 1
    cases = {"cut": content[: len(content) // 2], "empty": b"", "text": b"state", "pickle": b"\x80\x04N."}
    file.write_bytes(cases.get(damage, bytes(content)))
    again = Descent()
    run_training(again, tmp_path, 20, 5, "test")
    assert "train.pt" in caplog.text and "the file is ignored" in caplog.text
    assert torch.equal(again.weight, whole.weight)
    for name in ("train.csv",):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"weight": torch.ones(5)}, "{}")
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors .*; give its emo-bench run command again"):
        load_checkpoint(tmp_path, "{}")


def test_a_checkpoint_of_other_tensors_is_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"a": torch.arange(3)}, "{}")
    with pytest.raises(UserError, match=r"checkpoint\.safetensors.*lacks b"):
        load_checkpoint(tmp_path, "{}", ("a", "b"))
    network = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"checkpoint\.safetensors.*Linear"), restoring(tmp_path):
        network.load_state_dict(load_checkpoint(tmp_path, "{}"))
    for name, shape in (("b", (None,)), ("a", (4,)), ("a", (None, None))):
        with pytest.raises(UserError, match=r"checkpoint\.safetensors cannot be read"):
            load_array(tmp_path, name, np.dtype(np.int64), shape)
    with pytest.raises(UserError, match="a is int64"):
        load_array(tmp_path, "a", np.dtype(np.uint8), (3,))
    assert load_array(tmp_path, "a", np.dtype(np.int64), (None,)).tolist() == [0, 1, 2]
