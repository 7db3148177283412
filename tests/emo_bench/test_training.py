"""The public training room: the loop resumes to the same bits, averages, schedules, and the check of losses."""

from __future__ import annotations

import csv
import doctest
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from emo_bench.errors import UserError
from emo_bench.methods import training
from emo_bench.methods.interface import Workspace
from emo_bench.methods.training import learning_rate
from emo_bench.methods.training.fitted import save_tensors
from emo_bench.methods.training.loop import run_steps

STEPS = 24


class Fit:
    """A small network with dropout, fitted to noise; a step may be made to fail."""

    def __init__(self, folder: Path, fails_at: dict[int, Callable[[], object]] | None = None) -> None:
        self.workspace = Workspace(folder, "smoke", 7)
        self._fails_at = fails_at or {}
        torch.manual_seed(7)
        self.network = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 1))
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.average = training.WeightAverage(self.network.named_parameters())

    def step(self, number: int, rng: np.random.Generator) -> dict[str, float | torch.Tensor]:
        failed = self._fails_at.get(number, dict)()
        given = torch.from_numpy(rng.normal(size=(8, 4))).float()
        training.set_rates(self._optimizer, 0.01, training.cosine_share(number, STEPS, 0.1))
        loss = (self.network(given) - given.sum(1, keepdim=True)).abs().mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.average.update(training.half_life_decay(number, 8, half_life_images=40))
        return {"l1": loss, "shown": 1.0, **failed}  # type: ignore[dict-item]

    def run(self) -> Fit:
        state = {"network": self.network, "optimizer": self._optimizer, "average": self.average}
        training.train(self.workspace, STEPS, self.step, state, label="test: fit", checkpoint_every=5)
        return self


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "cut"


def test_a_killed_fit_ends_with_the_bits_of_an_undisturbed_one(folders: tuple[Path, Path]) -> None:
    whole, cut = folders
    undisturbed = Fit(whole).run()
    with pytest.raises(KeyboardInterrupt):
        Fit(cut, {13: interrupt}).run()
    torch.manual_seed(99)
    resumed = Fit(cut).run()
    for mine, theirs in zip(undisturbed.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    averages = undisturbed.average.state_dict(), resumed.average.state_dict()
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    assert not torch.equal(averages[0]["0.weight"], undisturbed.network[0].weight)
    assert (whole / "train.csv").read_bytes() == (cut / "train.csv").read_bytes()
    rows = list(csv.DictReader((whole / "train.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(STEPS)) and set(rows[0]) == {"step", "l1", "shown"}


def test_the_seed_decides(folders: tuple[Path, Path]) -> None:
    first, second = Fit(folders[0]), Fit(folders[1])
    second.workspace = Workspace(folders[1], "smoke", 8)
    assert not torch.equal(first.run().network[0].weight, second.run().network[0].weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("-inf"))])
def test_a_loss_that_is_not_finite_stops_the_fit_and_keeps_the_last_good_state(value: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test: fit stopped at step 12: bad is not finite; try a lower learning rate"):
        Fit(tmp_path, {12: lambda: {"bad": value}}).run()
    state = training.load_state(tmp_path / "train.pt")
    assert state is not None and state["step"] == 10


def test_the_average_is_that_of_the_formula_and_replaces_the_parameters() -> None:
    network = nn.BatchNorm1d(3)
    average = training.WeightAverage(network.named_parameters())
    wanted = network.weight.detach().clone()
    for step in range(6):
        with torch.no_grad():
            network.weight.add_(torch.arange(3.0))
        decay = training.half_life_decay(step, 4, half_life_images=1.0)
        average.update(decay)
        wanted = decay * wanted + (1 - decay) * network.weight.detach()
    merged = average.merged(network.state_dict())
    torch.testing.assert_close(merged["weight"], wanted)
    assert torch.equal(merged["running_mean"], network.running_mean) and merged.keys() == network.state_dict().keys()
    again = training.WeightAverage(network.named_parameters())
    for saved in (average.state_dict(), list(average.state_dict().values())):
        again.load_state_dict(saved)
        assert torch.equal(again.state_dict()["weight"], merged["weight"])


def test_decays_forget_the_start_soon_and_then_have_their_half_life() -> None:
    halved = 1.0
    for step in range(1000, 1100):
        halved *= training.half_life_decay(step, 4, half_life_images=400.0)
    assert halved == pytest.approx(0.5)
    assert training.half_life_decay(0, 4, 400.0) == pytest.approx(0.5**10)
    assert training.warmed_decay(0, 0.95) == 0.1 and training.warmed_decay(10_000, 0.95) == 0.95


def test_schedules() -> None:
    shares = [training.cosine_share(step, 40, 0.05) for step in range(41)]
    assert shares[0] == 1.0 and shares[20] == pytest.approx(0.525) and shares[40] == pytest.approx(0.05)
    assert shares == sorted(shares, reverse=True)
    assert [training.warm_up_share(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [training.halved_share(step, 10, (0.3, 0.6)) for step in (0, 2, 3, 6, 9)] == [1.0, 1.0, 0.5, 0.25, 0.25]
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=1.0)
    training.set_rates(optimizer, 0.2, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]
    training.set_rates(optimizer, (0.2, 0.4), 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert doctest.testmod(learning_rate).attempted == 1 and doctest.testmod(learning_rate).failed == 0


def test_several_values_that_are_not_finite_are_named() -> None:
    training.require_finite({"l1": 1.0}, "mine: training", 3, "try less")
    with pytest.raises(UserError, match=r"^mine: training stopped at step 3: a, c is not finite; try less$"):
        training.require_finite({"a": float("nan"), "b": 0.0, "c": float("inf")}, "mine: training", 3, "try less")


def test_steps_without_a_state_leave_their_losses_alone(tmp_path: Path) -> None:
    class Counting:
        step = 0

        def run_step(self) -> dict[str, float]:
            self.step += 1
            return {"l1": float(self.step)}

    run_steps(Counting(), tmp_path, 3, "test", shown=("l1",))
    assert (tmp_path / "train.csv").read_text().split() == ["step,l1", "0,1", "1,2", "2,3"]
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


def test_every_public_name_is_there_and_documented_and_torch_waits_for_its_first_use() -> None:
    for name in training.__all__:
        found = getattr(training, name)
        assert isinstance(found, str) or found.__doc__, name
        assert name in dir(training)
    script = (
        "import sys; import emo_bench.methods.training as t; assert 'torch' not in sys.modules\n"
        "t.take_stage; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    """The library writes the texts of a header in a random order, and an edit's identity holds the file's SHA-256."""
    tensors = {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.float16)}
    texts = {f"text {number}": f"\u00e4 {number}" for number in range(8)}
    files = [tmp_path / f"{number}.safetensors" for number in range(10)]
    for file in files:
        save_tensors(file, tensors, texts)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as opened:
        assert opened.metadata() == texts
        assert all(torch.equal(opened.get_tensor(name), tensor) for name, tensor in tensors.items())
