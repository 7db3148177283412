"""Every built-in method on a GPU: some steps, a kill, the rest of the steps, a rendering, an edit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from emo_bench.actors.capture import Capture
from emo_bench.methods import registry as methods
from emo_bench.methods.clip_method import VIDEO_EDITOR
from emo_bench.methods.interface import Method, Workspace
from emo_bench.system.devices import chosen_device
from tests.gpu.conftest import REAL

TRAIN, TEST = list(range(10, 34)), [60, 61, 62]
SHORT = {"steps": "3", "checkpoint_every_steps": "1", "max_train_frames": "8"}
TINY = {
    "emo-avatar": {
        **SHORT, "resolution_px": "32", "skip_resolutions": "16,32", "texture_px": "32", "batch": "2",
        "flow_widths": "8,8,8,8,8", "encoder_width": "8", "encoder_max_width": "8", "motion_width": "8",
        "projection_steps": "2", "tuning_steps": "2", "gan_start_step": "1", "mouth_px": "32",
        "discriminator_width": "8",
    },
    "style-avatar": {
        **SHORT, "feature_channels": "4", "channel_base": "64", "channel_max": "8", "freeze_step": "2", "r1_every": "2",
        "discriminator_base": "64", "discriminator_max": "8", "texture_px": "16",
    },
    "insta": {
        **SHORT, "resolution_px": "32", "samples": "4", "levels": "3", "log2_rows": "9", "width": "8", "rays": "64",
        "occupancy_cells": "16", "occupancy_start": "2",
    },
    "point-avatar": {
        **SHORT, "resolution_px": "32", "first_points": "200", "most_points": "1000", "growths": "1",
        "first_colours": "4",
        "deformer_width": "8", "canonical_width": "8", "shading_width": "8", "perceptual_weight": "0.1",
        "growth_share": "0.9",
    },
    "flash-avatar": {
        **SHORT, "resolution_px": "32", "uv_px": "24", "width": "8", "first_colours": "4", "perceptual_weight": "0.1",
        "perceptual_start": "0.3", "perceptual_every": "1",
    },
    "deep-video-portraits": {**SHORT, "width": "4", "max_width": "8", "window": "2", "look_frames": "4", "batch": "2"},
    "mean-frame": {},
    "nearest-frame": {},
}  # fmt: skip

AVATARS = [name for name in methods.known_methods() if methods.listed_kind(name) != VIDEO_EDITOR]
"""The methods that fit."""


class Killed(BaseException):
    """What ends a fit in its midst."""


def build(name: str, folder: Path, asked: str, **settings: str) -> Method:
    folder.mkdir(exist_ok=True)
    workspace = Workspace(folder, "smoke", 0, chosen_device(asked), {**TINY[name], **settings})
    return methods.build(methods.method_class(name), workspace)


def fit(method: Method, capture: Capture) -> None:
    torch.manual_seed(0)
    method.fit(capture.restricted(TRAIN), TRAIN)


def weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "checkpoint.safetensors")


def assert_same_avatar(a: Path, b: Path) -> None:
    """A real GPU adds in any order, so there only what the weights are is the same."""
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert np.isfinite(values.astype(np.float64)).all(), name
        if not REAL:
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def steps_of(folder: Path) -> list[int]:
    with (folder / "train.csv").open(encoding="utf-8") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", AVATARS)
def test_a_fit_is_killed_and_goes_on_on_a_gpu(
    name: str, gpu: str, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baselines.point_avatar.fitting.SURFACE_STEPS", 4)
    whole = build(name, tmp_path / "whole", gpu)
    fit(whole, capture)
    expected = np.stack(list(whole.render(capture.restricted(()), TEST)))
    fresh = build(name, tmp_path / "whole", gpu)
    fresh.load()
    again = np.stack(list(fresh.render(capture.restricted(()), TEST)))
    size = whole.resolution_px
    assert expected.shape == (3, size, size, 3) and expected.dtype == np.uint8
    np.testing.assert_array_equal(again, expected)
    if not (tmp_path / "whole" / "train.csv").exists():
        return
    from emo_bench.methods.training.loss_log import LossLog

    add = LossLog.add

    def add_until_killed(self: LossLog, step: int, values: dict[str, float]) -> None:
        if step == 1:
            raise Killed
        add(self, step, values)

    with monkeypatch.context() as patch:
        patch.setattr(LossLog, "add", add_until_killed)
        with pytest.raises(Killed):
            fit(build(name, tmp_path / "killed", gpu), capture)
    fit(build(name, tmp_path / "killed", gpu), capture)
    assert steps_of(tmp_path / "killed") == [0, 1, 2]
    assert_same_avatar(tmp_path / "killed", tmp_path / "whole")


def test_the_init_stage_is_killed_twice_and_goes_on_on_a_gpu(
    gpu: str, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emo_avatar import initialization

    monkeypatch.setattr(initialization, "CHECKPOINT_EVERY_STEPS", 1)
    steps = {"projection_steps": "2", "tuning_steps": "3", "steps": "1"}
    fit(build("emo-avatar", tmp_path / "whole", gpu, **steps), capture)
    save = initialization.save_state

    def save_and_die(path: Path, state: dict[str, object]) -> None:
        save(path, state)
        if state["done"] in (1, 3):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(initialization, "save_state", save_and_die)
        for _ in ("projection", "tuning"):
            with pytest.raises(Killed):
                fit(build("emo-avatar", tmp_path / "killed", gpu, **steps), capture)
    fit(build("emo-avatar", tmp_path / "killed", gpu, **steps), capture)
    assert_same_avatar(tmp_path / "killed", tmp_path / "whole")
