"""Rerender-A-Video as a method: frames in and out, what is kept after a kill, and what its run.json says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.diffusion.networks import Networks
from baselines.rerender.key_frames import key_positions
from baselines.rerender.method import FOLDER, Rerender
from emo_bench.errors import UserError
from emo_bench.methods.interface import Clip, EditStyle, Workspace
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

STYLE = EditStyle("bronze-statue", "a photo of a person", "a bronze statue of a person", "make it bronze", "file")
SMALL = {"resolution_px": "32", "size_px": "16", "steps": "3"}


@pytest.fixture(params=["portraits-diffusion", "stable-diffusion-1.5"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A random pipeline of each family, in an asset folder."""
    save = save_tiny_pipeline if request.param == "portraits-diffusion" else save_tiny_text_to_image
    save(tmp_path / "assets" / request.param)
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    return str(request.param)


def clip_of(frames: int) -> Clip:
    rows = np.arange(32 * 32 * 3).reshape(32, 32, 3)
    recorded = np.stack([(rows * (7 + number) // 5 % 256).astype(np.uint8) for number in range(frames)])
    recorded.setflags(write=False)
    return Clip(recorded, 25.0)


def opened(folder: Path, model: str, **settings: str) -> Rerender:
    folder.mkdir(exist_ok=True)
    return Rerender(Workspace(folder, "smoke", 0, settings={**SMALL, "model": model, **settings}))


def save_tiny_controlnet(model: str, folder: Path) -> None:
    import diffusers
    import torch

    unet = diffusers.UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    torch.manual_seed(1)
    control = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    for name, weights in control.named_parameters():
        # A ControlNet adds nothing before its training.
        if "controlnet_" in name:
            weights.data.normal_(std=0.5)
    control.save_pretrained(folder)


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
@pytest.mark.parametrize("count", [1, 10, 11, 12, 13])
def test_as_many_frames_come_out_as_went_in_and_nothing_is_left(count: int, model: str, tmp_path: Path) -> None:
    frames = list(opened(tmp_path / "run", model).edit(clip_of(count), STYLE))
    assert len(frames) == count
    assert all(frame.shape == (32, 32, 3) and frame.dtype == np.uint8 for frame in frames)
    assert not list((tmp_path / "run").iterdir())


def test_the_key_frames_are_in_their_places(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.arange(5, dtype=np.uint8)[:, None, None, None] * 50 + np.zeros((5, 16, 16, 3), np.uint8)
    monkeypatch.setattr(
        "baselines.rerender.key_frames.painted_key_frames", lambda networks, frames, *rest: whole[: len(frames)]
    )
    frames = np.stack(list(opened(tmp_path / "run", model, interval="3").edit(clip_of(11), STYLE)))
    places = key_positions(11, 3)
    assert places == [0, 3, 6, 9, 10]
    assert np.array_equal(frames[places, 5, 5, 0], [0, 50, 100, 150, 200])


def test_a_clip_of_equal_frames_stays_still(model: str, tmp_path: Path) -> None:
    """Without the fusion, whose encoding loses something each time."""
    clip = Clip(np.repeat(clip_of(1).frames, 13, axis=0), 25.0)
    made = np.stack(list(opened(tmp_path / "run", model, fuse_weight="0").edit(clip, STYLE)))
    assert np.ptp(made.astype(int), axis=0).max() <= 2


def test_a_killed_run_gives_the_same_frames_as_a_whole_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clip_of(13)
    whole = np.stack(list(opened(tmp_path / "whole", model).edit(clip, STYLE)))
    cut = opened(tmp_path / "cut", model).edit(clip, STYLE)
    first = [next(cut) for _ in range(11)]
    cut.close()  # type: ignore[attr-defined]
    assert (tmp_path / "cut" / FOLDER).is_dir() and np.array_equal(np.stack(first), whole[:11])
    monkeypatch.setattr(Networks, "predicted", lambda *_: pytest.fail("the network ran again"))
    assert np.array_equal(np.stack(list(opened(tmp_path / "cut", model).edit(clip, STYLE))), whole)


def test_a_controlnet_that_is_here_is_used_and_named(model: str, tmp_path: Path) -> None:
    name = "portraits-controlnet-canny" if model == "portraits-diffusion" else "controlnet-canny"
    without = next(iter(opened(tmp_path / "without", model, structure="noise").edit(clip_of(1), STYLE)))
    save_tiny_controlnet(str(tmp_path / "assets" / model), tmp_path / "assets" / name)
    # A network that sees the source does without a ControlNet, unless one is named.
    named = {"controlnet": name} if model == "portraits-diffusion" else {}
    editor = opened(tmp_path / "run", model, control_scale="2", strength="0.75", **named)
    described: Any = editor.describe()
    assert described["config"]["structure"] == "controlnet" and described["config"]["controlnet"] == name
    assert set(described["assets"]) == {model, name}
    assert not [flag for flag in described["flags"] if "ControlNet" in flag]
    unnamed: Any = opened(tmp_path / "unnamed", model).describe()
    assert unnamed["config"]["structure"] == ("source" if named else "controlnet")
    assert not np.array_equal(next(iter(editor.edit(clip_of(1), STYLE))), without)


def test_run_json_names_the_weights_the_flow_and_what_replaces_the_controlnet(model: str, tmp_path: Path) -> None:
    described: Any = opened(tmp_path / "run", model).describe()
    assert list(described["assets"]) == [model]
    structure = "source" if model == "portraits-diffusion" else "noise"
    assert described["config"]["structure"] == structure and described["config"]["flow"] == "DIS"
    assert described["config"]["strength"] == (1.0 if structure == "source" else 0.75)
    assert any("the paper has a ControlNet" in flag for flag in described["flags"])


def test_a_network_without_source_channels_cannot_see_the_source(model: str, tmp_path: Path) -> None:
    if model == "portraits-diffusion":
        opened(tmp_path / "run", model, structure="source")
        return
    with pytest.raises(UserError, match=r"structure=source: the network of stable-diffusion-1\.5 does not see"):
        opened(tmp_path / "run", model, structure="source")


def test_what_is_missing_is_one_line_that_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
    with pytest.raises(UserError, match=r"assets fetch stable-diffusion-1\.5.*--set model=") as raised:
        Rerender(Workspace(tmp_path, "paper", 0))
    assert "\n" not in str(raised.value)
    save_tiny_text_to_image(tmp_path / "home" / "assets" / "stable-diffusion-1.5")
    with pytest.raises(UserError, match=r"assets fetch controlnet-canny.*--set controlnet=") as raised:
        Rerender(Workspace(tmp_path, "paper", 0))
    assert "\n" not in str(raised.value)
