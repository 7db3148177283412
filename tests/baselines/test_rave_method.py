"""RAVE as a method: frames in and out, what is kept after a kill, and what its run.json says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.diffusion.networks import Networks
from baselines.rave.method import FOLDER, Rave
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods.interface import Clip, EditStyle, Workspace
from emo_bench.methods.pix2pix_models import PORTRAITS_SETTINGS
from emo_bench.runs.finished import load_run
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

STYLE = EditStyle("bronze-statue", "a photo of a person", "a bronze statue of a person", "make it bronze", "file")
SMALL = {"resolution_px": "32", "size_px": "16", "steps": "3", "grid_side": "2"}


@pytest.fixture(params=["portraits-diffusion", "stable-diffusion-1.5"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A random pipeline of each family, in an asset folder."""
    save = save_tiny_pipeline if request.param == "portraits-diffusion" else save_tiny_text_to_image
    save(tmp_path / "assets" / request.param)
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    return str(request.param)


def clip_of(frames: int) -> Clip:
    recorded = np.random.default_rng(0).integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8)
    recorded.setflags(write=False)
    return Clip(recorded, 25.0)


def opened(folder: Path, model: str, **settings: str) -> Rave:
    folder.mkdir(exist_ok=True)
    return Rave(Workspace(folder, "smoke", 0, settings={**SMALL, "model": model, **settings}))


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
@pytest.mark.parametrize("count", [1, 4, 11])
def test_as_many_frames_come_out_as_went_in_and_nothing_is_left(count: int, model: str, tmp_path: Path) -> None:
    frames = list(opened(tmp_path / "run", model).edit(clip_of(count), STYLE))
    assert len(frames) == count
    assert all(frame.shape == (32, 32, 3) and frame.dtype == np.uint8 for frame in frames)
    assert not list((tmp_path / "run").iterdir())


def test_a_killed_run_gives_the_same_frames_as_a_whole_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clip_of(11)
    whole = np.stack(list(opened(tmp_path / "whole", model).edit(clip, STYLE)))
    decoded = Networks.decoded

    def failing(self: Any, latents: Any, batch: int) -> Iterator[np.ndarray]:
        yield from list(decoded(self, latents, batch))[:5]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Networks, "decoded", failing)
        with pytest.raises(KeyboardInterrupt):
            list(opened(tmp_path / "cut", model).edit(clip, STYLE))
    assert (tmp_path / "cut" / FOLDER / "edited.pt").is_file()
    monkeypatch.setattr(Networks, "predicted", lambda *_: pytest.fail("the network ran again"))
    assert np.array_equal(np.stack(list(opened(tmp_path / "cut", model).edit(clip, STYLE))), whole)


def test_run_json_names_the_weights_and_what_replaces_the_controlnet(model: str, tmp_path: Path) -> None:
    described: Any = opened(tmp_path / "run", model).describe()
    assert list(described["assets"]) == [model] and described["config"]["size_px"] == 16
    structure = "source" if model == "portraits-diffusion" else "noise"
    assert described["config"]["structure"] == structure
    if structure == "source":
        usual = PORTRAITS_SETTINGS
        assert (described["config"]["source_scale"], described["config"]["text_scale"]) == (
            usual.image_scale,
            usual.text_scale,
        )
    assert any("the paper has a ControlNet" in flag for flag in described["flags"])
    assert any(f"the weights {model}" in flag for flag in described["flags"]) == (model == "portraits-diffusion")


def test_only_a_network_that_sees_the_frame_reads_the_instruction(model: str, tmp_path: Path) -> None:
    other = EditStyle("bronze-statue", STYLE.source_caption, "an oil painting", STYLE.instruction, "file")
    first, second = (
        np.stack(list(opened(tmp_path / name, model).edit(clip_of(4), style)))
        for name, style in (("first", STYLE), ("second", other))
    )
    assert np.array_equal(first, second) == (model == "portraits-diffusion")


def test_the_command_edits_scores_and_verifies(actor: str, model: str, protocol_file: str, tmp_path: Path) -> None:
    protocol = Path(protocol_file)
    text = protocol.read_text(encoding="utf-8").replace("self-reenactment", "editing").replace('"psnr", "ssim", ', "")
    protocol.write_text(text, encoding="utf-8")
    words = [word for key, value in {**SMALL, "model": model}.items() for word in ("--set", f"{key}={value}")]
    with pytest.raises(SystemExit) as ended:
        main([
            "run", "--method", "rave", "--actor", actor, "--protocol", protocol_file, "--profile", "smoke",
            *words, "--style", "oil-painting", "--runs", str(tmp_path / "runs"), "--device", "cpu",
        ])  # fmt: skip
    assert ended.value.code == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("run.json"))
    run = load_run(folder)
    assert run.manifest["identity"]["config"]["model"] == model
    assert run.manifest["described"]["memory"] == "full"
    assert len(list(read_lossless(folder / "render.mkv"))) == len(run.scores) == 12
    assert not (folder / FOLDER).exists()
    states = {check.what: check.state for check in verify(folder, Verification(render=True)).checks}
    assert set(states.values()) == {"same"}


def test_what_is_missing_is_one_line_that_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
    with pytest.raises(UserError, match=r"rave .*assets fetch stable-diffusion-1\.5.*--set model=") as raised:
        Rave(Workspace(tmp_path, "paper", 0))
    assert "\n" not in str(raised.value)
    save_tiny_text_to_image(tmp_path / "home" / "assets" / "stable-diffusion-1.5")
    with pytest.raises(UserError, match=r"rave .*assets fetch controlnet-canny.*--set controlnet=") as raised:
        Rave(Workspace(tmp_path, "paper", 0))
    assert "\n" not in str(raised.value)
