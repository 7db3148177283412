"""The resumable loop: killed between two states it ends as if it had not been."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_bench.errors import UserError
from emo_bench.files import previous_of
from emo_bench.methods.training.fitted import load_array, load_checkpoint, restoring, save_checkpoint
from emo_bench.methods.training.loop import run_training
from emo_bench.methods.training.state_file import load_state, save_state


class Descent:
    """Adam on a noisy quadratic; dies once at a given step."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.step, self._dies_at, self.taken = 0, dies_at, 0
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
        self.taken += 1
        return {"loss": float(loss.detach())}

    def moments(self) -> dict[str, torch.Tensor]:
        return dict(self._optimizer.state_dict()["state"][0])

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


@pytest.mark.parametrize("both", [False, True], ids=["the last", "both"])
@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "text", "pickle"])
def test_a_damaged_state_gives_way_to_the_one_before_and_else_to_a_new_training(
    damage: str, both: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
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
    if both:
        previous_of(file).write_bytes(b"")
    again = Descent()
    run_training(again, tmp_path, 20, 5, "test")
    assert "train.pt" in caplog.text and "the file is ignored" in caplog.text
    # The states were of steps 5 and 10.
    assert again.taken == (20 if both else 15)
    assert torch.equal(again.weight, whole.weight)
    for name in ("train.csv",):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_damaged_state_never_becomes_the_one_before(tmp_path: Path) -> None:
    """The disk damages the last state three times: each time the training goes on, and does not start again."""
    whole = Descent()
    (tmp_path / "whole").mkdir()
    run_training(whole, tmp_path / "whole", 20, 5, "test")
    for dies_at, first in ((13, 0), (12, 5), (17, 5)):
        training = Descent(dies_at=dies_at)
        with pytest.raises(KeyboardInterrupt):
            run_training(training, tmp_path, 20, 5, "test")
        assert training.taken == dies_at - first
        (tmp_path / "train.pt").write_bytes(b"damaged")
    again = Descent()
    run_training(again, tmp_path, 20, 5, "test")
    assert again.taken == 10 and torch.equal(again.weight, whole.weight)


def test_what_must_be_the_last_state_is_not_replaced_by_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "render.pt"
    for step in (1, 2):
        save_state(file, {"step": step})
    assert load_state(file, last=True) == {"step": 2}
    file.write_bytes(b"damaged")
    assert load_state(file, last=True) is None
    assert load_state(file) == {"step": 1}


def test_no_changed_bit_of_a_state_changes_what_is_read(tmp_path: Path) -> None:
    """Each part of the file has a CRC-32: a state is read as it was written or not at all."""
    file, training = tmp_path / "train.pt", Descent()
    training.run_step()
    save_state(file, training.state())
    content, rng = file.read_bytes(), np.random.default_rng(0)
    refused = 0
    for bit in rng.choice(len(content) * 8, 300, replace=False):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        state = load_state(file)
        refused += state is None
        if state is not None:
            assert state["step"] == 1 and torch.equal(state["weight"], training.weight.detach())
            moments = state["optimizer"]["state"][0]
            assert all(torch.equal(moments[name], kept) for name, kept in training.moments().items())
    # The rest are bits that mean nothing: the filling between parts, dates, the order of the list.
    assert refused > 60


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
