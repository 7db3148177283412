"""A limit on the time of a fit: which steps are taken, with a clock that the test moves, and what a run says of it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import emo_bench
from emo_bench.cli import main
from emo_bench.errors import SettingError, UserError
from emo_bench.methods import training
from emo_bench.methods.interface import Workspace
from emo_bench.methods.max_minutes import LimitedFit, minutes_of, read_record
from emo_bench.methods.training.loop import run_training
from emo_bench.methods.training.time_limit import Pace, TimeLimit, time_limit_of
from emo_bench.runs.settings import sorted_settings, with_max_minutes
from emo_bench.sweeps.request import Names, SweepRequest
from protocols.sweeps import Grid


class Clock:
    """Seconds that pass only when a step takes them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def walk(
    limit_s: float, steps: int, cost_s: Callable[[int, int], float], used_s: float = 0.0, required: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the steps taken, and the time used after each; ``cost_s`` is given the count and the number."""
    pace = Pace(limit_s, steps, required)
    numbers, times, step = [], [], 0
    while step < steps:
        used_s += cost_s(len(numbers), step)
        numbers.append(step)
        times.append(used_s)
        step = pace.next_step(step + 1, used_s)
    assert step == steps
    return np.array(numbers), np.array(times)


@given(
    steps=st.integers(1, 3000),
    limit_s=st.floats(0.5, 5000),
    step_s=st.floats(0.01, 5),
    spread=st.floats(0, 0.5),
    first=st.floats(1, 5),
    before_s=st.floats(0, 50),
    seed=st.integers(0, 99),
)
def test_the_law_of_steps(
    steps: int, limit_s: float, step_s: float, spread: float, first: float, before_s: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    costs = step_s * rng.lognormal(0.0, spread, steps) * np.where(np.arange(steps) == 0, first, 1.0)
    numbers, times = walk(limit_s, steps, lambda count, _: float(costs[count]), before_s)
    assert numbers[0] == 0 and numbers[-1] == steps - 1 and (np.diff(numbers) > 0).all()
    longest = costs[: len(numbers)].max()
    if len(numbers) == steps:
        assert times[-1] <= limit_s + 2 * longest or steps <= 3
    else:
        assert times[-1] <= max(limit_s, before_s + costs[0]) + 2 * longest
    if len(numbers) > 3:
        # About as many steps as there was time for.
        could = (limit_s - before_s - costs[0]) / costs[1 : len(numbers)].mean()
        assert len(numbers) >= min(0.6 * could, steps) - 3


@given(steps=st.integers(1, 2000), step_s=st.floats(0.001, 3))
def test_with_time_enough_every_step_is_taken(steps: int, step_s: float) -> None:
    numbers, _ = walk(1.01 * steps * step_s + 5 * step_s, steps, lambda *_: step_s)
    assert numbers.tolist() == list(range(steps))


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3, 0.1])
def test_equal_steps_follow_the_whole_schedule_in_the_share_of_time(share: float) -> None:
    numbers, times = walk(1000 * share, 1000, lambda *_: 1.0)
    assert abs(len(numbers) - 1000 * share) <= 1 and abs(times[-1] - 1000 * share) <= 1
    # Where the fit is in its schedule is where it is in its time.
    assert np.abs(numbers / 1000 - times / times[-1]).max() < 0.09
    assert np.diff(numbers).max() <= 2 / share and np.diff(numbers)[-8:].max() <= 2 / share


@pytest.mark.parametrize("every", [2, 3, 8, 16])
@pytest.mark.parametrize("limit_s", [4000, 2500, 2000, 1000, 625])
def test_what_is_done_on_every_few_steps_keeps_its_share(every: int, limit_s: float) -> None:
    """Equal jumps of 2 would do what belongs to even steps always, or never."""
    numbers, _ = walk(limit_s, 5000, lambda *_: 1.0)
    share = np.mean(numbers % every == 0)
    assert share == pytest.approx(1 / every, abs=4 * np.sqrt(1 / every / len(numbers)))


def test_a_slow_first_step_a_pause_and_slower_late_steps_make_no_big_jump() -> None:
    slow_first, _ = walk(300, 1000, lambda count, _: 20.0 if count == 0 else 1.0)
    assert np.diff(slow_first).max() <= 8 and np.diff(slow_first)[:3].max() == 1
    pauses, times = walk(300, 1000, lambda count, _: 11.0 if count % 50 == 24 else 1.0)
    assert np.diff(pauses).max() <= 12 and abs(times[-1] - 300) <= 2
    late, times = walk(800, 1000, lambda _, step: 3.0 if step >= 500 else 1.0)
    assert np.diff(late).max() <= 8 and abs(times[-1] - 800) <= 3
    # The second half of the schedule, whose steps are slower, has half of the time.
    assert times[late >= 500][0] == pytest.approx(400, abs=20)


def test_required_steps_are_never_left_out() -> None:
    required = (17, 333, 334, 900)
    numbers, _ = walk(60, 1000, lambda *_: 1.0, required=required)
    assert set(required) <= set(numbers.tolist()) and len(numbers) < 70


class Fit(training.Resumable):
    """A small network whose steps move a clock; a step may be interrupted."""

    def __init__(self, folder: Path, clock: Clock, steps: int, dies_after: int | None = None) -> None:
        self._folder, self._clock, self._steps, self._dies_after = folder, clock, steps, dies_after
        torch.manual_seed(1)
        self.network = nn.Linear(2, 1)
        self._optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0)
        self.average = training.WeightAverage(self.network.named_parameters())
        self.parts = {"network": self.network, "optimizer": self._optimizer, "average": self.average}
        self.strides: list[int] = []
        self.begins: list[float] = []

    def run_step(self) -> dict[str, float]:
        self.strides.append(self.average.stride)
        self.begins.append(self._clock.now)
        self._clock.now += 1.0
        if self._dies_after is not None and len(self.strides) > self._dies_after:
            raise KeyboardInterrupt
        training.set_rates(self._optimizer, 1e-3, training.cosine_share(self.step, self._steps, 0.05))
        self.network(torch.ones(2)).sum().backward()
        self._optimizer.step()
        self.average.update(0.9)
        self.step += 1
        return {"loss": 1.0}

    def run(self, limit_s: float, before_s: float = 0.0) -> Fit:
        limit = TimeLimit(limit_s / 60, self._clock.now - before_s, clock=self._clock)
        run_training(self, self._folder, self._steps, 20, "test: fit", limit=limit)
        return self


def steps_in(folder: Path) -> list[int]:
    return [int(row["step"]) for row in csv.DictReader((folder / "train.csv").open())]


def test_a_limited_training_ends_with_decayed_rates_and_a_record(tmp_path: Path) -> None:
    Fit(tmp_path, Clock(), 400).run(limit_s=100, before_s=30)
    numbers = steps_in(tmp_path)
    record = read_record(tmp_path)
    assert record == LimitedFit(pytest.approx(100 / 60), pytest.approx(100, abs=1), len(numbers), 400)
    assert len(numbers) == pytest.approx(70, abs=1) and numbers[0] == 0 and numbers[-1] == 399
    state = training.load_state(tmp_path / "train.pt")
    assert state is not None and state["step"] == 400
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(5e-5, rel=1e-3)


def test_the_time_of_all_attempts_counts_and_lost_work_does_not(tmp_path: Path) -> None:
    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        Fit(tmp_path, clock, 400, dies_after=50).run(limit_s=100)
    state = training.load_state(tmp_path / "train.pt")
    assert state is not None and state["time_limit"]["taken"] == 40 and state["time_limit"]["seconds"] == 40.0
    resumed = Fit(tmp_path, clock, 400).run(limit_s=100, before_s=5)
    record, numbers = read_record(tmp_path), steps_in(tmp_path)
    assert len(resumed.strides) == pytest.approx(55, abs=1) and resumed.strides[0] == state["time_limit"]["stride"]
    assert record is not None and record.seconds == pytest.approx(100, abs=1)
    assert record.steps_taken == len(numbers) == 40 + len(resumed.strides)
    assert numbers == sorted(set(numbers)) and numbers[-1] == 399
    # A finished training is not continued, and keeps its record.
    assert Fit(tmp_path, clock, 400).run(limit_s=100, before_s=500).strides == []
    assert read_record(tmp_path) == record


def test_an_average_forgets_as_much_as_in_the_whole_schedule(tmp_path: Path) -> None:
    fit = Fit(tmp_path, Clock(), 1000).run(limit_s=100)
    numbers = np.array(steps_in(tmp_path))
    assert fit.strides[1:] == np.diff(numbers).tolist() and fit.strides[0] == 1
    # Constant gradients: the weight falls by the rate at each step, so the average is a known sum.
    rates = 1e-3 * np.array([training.cosine_share(int(n), 1000, 0.05) for n in numbers])
    torch.manual_seed(1)
    start = nn.Linear(2, 1)
    weights = float(start.bias.detach()) - np.cumsum(np.cumsum(np.ones(len(rates))) * rates)
    wanted = float(start.bias.detach())
    for weight, stride in zip(weights, fit.strides, strict=True):
        wanted = 0.9**stride * wanted + (1 - 0.9**stride) * weight
    assert float(fit.average.state_dict()["bias"]) == pytest.approx(wanted, rel=1e-4)


def test_no_time_to_train_is_one_line(tmp_path: Path) -> None:
    said = r"^test: fit: the work before the first step took 2 minutes, and --max-minutes 1.5 leaves no time to train"
    with pytest.raises(UserError, match=said):
        Fit(tmp_path, Clock(), 400).run(limit_s=90, before_s=120)
    assert list(tmp_path.iterdir()) == []


def test_work_before_the_loop_counts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "smoke", 0, settings={"max_minutes": "2"}, fit_began_s=100.0)
    assert time_limit_of(workspace) == TimeLimit(2.0, 100.0)
    later = time_limit_of(workspace, earlier_s=7.0)
    assert later is not None and later.began_s > 100.0 and later.earlier_s == 7.0
    assert time_limit_of(Workspace(tmp_path, "smoke", 0)) is None


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e-999", "43200.1", "word", "", "9" * 400])
def test_impossible_limits_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^--max-minutes .*: give a number of minutes above 0, at most 43,200"):
        minutes_of({"max_minutes": text})
    with pytest.raises(SettingError):
        sorted_settings({"max_minutes": text})


def test_every_way_to_give_a_limit_is_the_same_setting() -> None:
    ways: list[Any] = [{"max_minutes": "5"}, {"max_minutes": 5}, {"max_minutes": "5.0"}, with_max_minutes({}, 5.0)]
    assert {sorted_settings(way).method["max_minutes"] for way in ways} == {"5"}
    assert sorted_settings({"max_minutes": "0.50"}).method == {"max_minutes": "0.5"}
    with pytest.raises(UserError, match=r"^--max-minutes and --set max_minutes mean the same"):
        with_max_minutes({"max_minutes": "5"}, 5.0)


def test_a_sweep_has_the_same_setting(actor: str) -> None:
    grid = Grid.model_validate({"methods": ["insta"], "actors": [actor], "settings": {"max_minutes": [5, 7.5]}})
    found = [made.request.settings for made in Names(SweepRequest((grid,))).combinations(grid, actor)]
    assert found == [{"max_minutes": "5"}, {"max_minutes": "7.5"}]


METHOD = """
import time
import numpy as np
import torch
from emo_bench.methods import training
from emo_bench.methods.interface import Method, MethodInfo

class Settings(training.MethodSettings):
    resolution_px: int = 64

class Slow(training.TrainedMethod):
    info = MethodInfo("slow", "Slow", "", "MIT", frozenset({"render"}), (), "a test")
    settings, profile_settings = Settings, {"smoke": {}}

    def build(self):
        return torch.nn.Linear(1, 1)

    def fit(self, capture, train):
        time.sleep(0.2)
        def step(number, rng):
            time.sleep(0.005)
            return {"loss": float(number)}
        training.train(self.workspace, 2000, step, {"network": self.network}, label="slow: fit", checkpoint_every=50)
        self.save(self.network.state_dict())

    def render(self, capture, indices):
        for i in indices:
            yield np.full((64, 64, 3), 90 + i % 3, np.uint8)

class Deaf(Slow):
    info = MethodInfo("deaf", "Deaf", "", "MIT", frozenset({"render"}), (), "a test")

    def fit(self, capture, train):
        self.save(self.network.state_dict())
"""


def call(*words: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0), out.getvalue() + err.getvalue()


@pytest.fixture
def words(tmp_path: Path, actor: str, protocol_file: str) -> list[str]:
    (tmp_path / "slow.py").write_text(METHOD)
    options = ["--actor", actor, "--protocol", protocol_file, "--profile", "smoke", "--device", "cpu"]
    return ["run", *options, "--runs", str(tmp_path / "runs")]


def test_a_run_with_a_limit_says_so_and_is_the_same_however_the_limit_is_given(
    words: list[str], tmp_path: Path
) -> None:
    slow = f"{tmp_path / 'slow.py'}:Slow"
    code, said = call(*words, "--method", slow, "--max-minutes", "0.05")
    assert code == 0, said
    folder = tmp_path / "runs" / "quick" / "dot" / "slow+max_minutes=0.05" / "smoke-s0"
    manifest = json.loads((folder / "run.json").read_text())
    limited = manifest["stages"]["fit"]["time_limit"]
    assert limited["minutes"] == 0.05 and limited["steps"] == 2000
    assert 2.5 < limited["seconds"] < 4.5
    numbers = steps_in(folder)
    assert limited["steps_taken"] == len(numbers) < 2000 and numbers[-1] == 1999
    assert (
        manifest["identity"]["settings"] == {"max_minutes": "0.05"}
        and "max_minutes" not in manifest["identity"]["config"]
    )
    assert any("a limit of 0.05 minutes (--max-minutes)" in flag for flag in manifest["flags"])
    assert "limit of 0.05 minutes" in (folder / "report.md").read_text()
    # The trivial methods beside it have no limit.
    assert (tmp_path / "runs" / "quick" / "dot" / "mean-frame" / "smoke-s0" / "run.json").is_file()
    code, said = call(*words, "--method", slow, "--set", "max_minutes=0.050", "--no-trivial")
    assert code == 0 and "fit: already done, skipped" in said
    made = emo_bench.run(
        slow, "dot", protocol=words[4], profile="smoke", device="cpu", runs=tmp_path / "runs", max_minutes=0.05,
        trivial=False,
    )  # fmt: skip
    assert made.path == folder and len(list(folder.parents[1].iterdir())) == 3


def test_a_method_that_ignores_the_limit_is_noted(words: list[str], tmp_path: Path) -> None:
    deaf = f"{tmp_path / 'slow.py'}:Deaf"
    code, _ = call(*words, "--method", deaf, "--max-minutes", "3", "--no-trivial")
    folder = tmp_path / "runs" / "quick" / "dot" / "deaf+max_minutes=3" / "smoke-s0"
    manifest = json.loads((folder / "run.json").read_text())
    assert code == 0 and "Deaf does not say whether its fit kept to --max-minutes" in manifest["flags"]
    assert "time_limit" not in manifest["stages"]["fit"]


def test_methods_that_do_not_train_refuse_a_limit_in_one_line(words: list[str], tmp_path: Path) -> None:
    command = tmp_path / "command.toml"
    text = """
name = "command"
title = "Command"
licence = "MIT"
fidelity = "a test"
resolution_px = 64
layout = "plain"
[settings]
SETTING = "9"
[fit]
command = "echo {SETTING} > {work}/minutes.txt"
timeout_s = 60
[render]
command = "true"
timeout_s = 60
frames = "{out}"
"""
    command.write_text(text.replace("SETTING", "other"))
    editing = [word for word in words if word not in ("--protocol", words[4])]
    refused = {
        "mean-frame": (words, "--max-minutes: mean-frame trains nothing that it could limit: leave it out"),
        "frame-style": (editing, "--max-minutes: frame-style trains nothing that it could limit: leave it out"),
        str(command): (words, r"--max-minutes: .*command\.toml has no setting max_minutes: leave the option out, or"),
    }
    for method, (given_words, wanted) in refused.items():
        code, said = call(*given_words, "--method", method, "--max-minutes", "5")
        assert code == 2 and re.search(wanted, said) and len(said.strip().splitlines()) == 1, said
    code, said = call(*words, "--method", "insta", "--max-minutes", "nan")
    assert code == 2 and "--max-minutes nan: give a number of minutes above 0" in said
    assert not (tmp_path / "runs").exists()
    # Its command gives no frames, but got the limit before.
    command.write_text(text.replace("SETTING", "max_minutes"))
    assert call(*words, "--method", str(command), "--max-minutes", "5")[0] != 0
    work = tmp_path / "runs" / "quick" / "dot" / "command+max_minutes=5" / "smoke-s0" / "work"
    assert (work / "minutes.txt").read_text() == "5\n"
