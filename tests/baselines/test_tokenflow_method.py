"""TokenFlow as a method: frames in and out, what is kept after a kill, and what its run.json says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.diffusion.networks import Networks
from baselines.tokenflow.method import FOLDER, TokenFlow
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods.interface import Clip, EditStyle, Workspace
from emo_bench.runs.finished import load_run
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline, save_tiny_text_to_image

STYLE = EditStyle("bronze-statue", "a photo of a person", "a bronze statue of a person", "make it bronze", "file")
SMALL = {"resolution_px": "32", "size_px": "16", "steps": "3", "batch": "4"}


@pytest.fixture(params=["portraits-diffusion", "stable-diffusion-2.1-base"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A random pipeline of each family, in an asset folder."""
    save = save_tiny_pipeline if request.param == "portraits-diffusion" else save_tiny_text_to_image
    save(tmp_path / "assets" / request.param)
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    return str(request.param)


@pytest.fixture
def clip() -> Clip:
    rows = np.arange(32 * 32 * 3).reshape(32, 32, 3)
    frames = np.stack([(rows * (7 + number) // 5 % 256).astype(np.uint8) for number in range(11)])
    frames.setflags(write=False)
    return Clip(frames, 25.0)


def opened(folder: Path, model: str, **settings: str) -> TokenFlow:
    folder.mkdir(exist_ok=True)
    return TokenFlow(Workspace(folder, "smoke", 0, settings={**SMALL, "model": model, **settings}))


def test_eleven_frames_are_edited_to_eleven_and_nothing_is_left(model: str, clip: Clip, tmp_path: Path) -> None:
    frames = list(opened(tmp_path / "run", model).edit(clip, STYLE))
    assert len(frames) == 11
    assert all(frame.shape == (32, 32, 3) and frame.dtype == np.uint8 for frame in frames)
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_frames_of_the_networks_own_size_are_only_read(model: str, clip: Clip, tmp_path: Path) -> None:
    frames = list(opened(tmp_path / "run", model, size_px="32").edit(clip, STYLE))
    assert len(frames) == 11


def test_a_killed_run_gives_the_same_frames_as_a_whole_one(
    model: str, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.stack(list(opened(tmp_path / "whole", model).edit(clip, STYLE)))
    decoded = Networks.decoded

    def failing(self: Any, latents: Any, batch: int) -> Iterator[np.ndarray]:
        yield from list(decoded(self, latents, batch))[:5]
        raise KeyboardInterrupt

    monkeypatch.setattr(Networks, "decoded", failing)
    with pytest.raises(KeyboardInterrupt):
        list(opened(tmp_path / "cut", model).edit(clip, STYLE))
    assert (tmp_path / "cut" / FOLDER / "edited.pt").is_file()
    monkeypatch.undo()
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setattr(Networks, "predicted", lambda *_: pytest.fail("the network ran again"))
    assert np.array_equal(np.stack(list(opened(tmp_path / "cut", model).edit(clip, STYLE))), whole)


def test_run_json_names_the_weights_and_a_substitute(model: str, tmp_path: Path) -> None:
    described = opened(tmp_path / "run", model).describe()
    assert list(described["assets"]) == [model]  # type: ignore[call-overload]
    assert described["config"]["model"] == model and described["config"]["size_px"] == 16  # type: ignore[index]
    bundled = model == "portraits-diffusion"
    assert described["config"]["source"] == ("clip" if bundled else "dropped")  # type: ignore[index]
    assert described["config"]["guidance_scale"] == (2 if bundled else 4)  # type: ignore[index]
    for settings, scale in (({"source": "dropped"}, 4), ({"guidance_scale": "3"}, 3)):
        assert opened(tmp_path / "run", model, **settings).describe()["config"]["guidance_scale"] == scale  # type: ignore[index]
    flags: list[str] = described["flags"]  # type: ignore[assignment]
    assert [("sees the recorded frame" in flag, "Stable Diffusion" in flag) for flag in flags] == (
        [(True, False), (False, True)] if bundled else []
    )
    dropped: list[str] = opened(tmp_path / "run", model, source="dropped").describe()["flags"]  # type: ignore[assignment]
    assert not any("sees the recorded frame" in flag for flag in dropped)


def test_only_a_network_with_source_channels_sees_the_clip(model: str, clip: Clip, tmp_path: Path) -> None:
    editor = opened(tmp_path / "run", model, source="clip")
    if model == "portraits-diffusion":
        seen = np.stack(list(editor.edit(clip, STYLE)))
        dropped = np.stack(list(opened(tmp_path / "other", model, source="dropped").edit(clip, STYLE)))
        usual = np.stack(list(opened(tmp_path / "usual", model).edit(clip, STYLE)))
        assert np.array_equal(usual, seen) and not np.array_equal(usual, dropped)
    else:
        with pytest.raises(UserError, match=r"source=clip: the network of .* takes no source picture"):
            list(editor.edit(clip, STYLE))


def test_the_command_edits_scores_and_verifies(actor: str, model: str, protocol_file: str, tmp_path: Path) -> None:
    protocol = Path(protocol_file)
    text = protocol.read_text(encoding="utf-8").replace("self-reenactment", "editing").replace('"psnr", "ssim", ', "")
    protocol.write_text(text, encoding="utf-8")
    words = [word for key, value in {**SMALL, "model": model}.items() for word in ("--set", f"{key}={value}")]
    with pytest.raises(SystemExit) as ended:
        main([
            "run", "--method", "tokenflow", "--actor", actor, "--protocol", protocol_file, "--profile", "smoke",
            *words, "--style", "oil-painting", "--runs", str(tmp_path / "runs"), "--device", "cpu",
        ])  # fmt: skip
    assert ended.value.code == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("run.json"))
    run = load_run(folder)
    assert run.manifest["identity"]["config"]["model"] == model
    assert len(list(read_lossless(folder / "render.mkv"))) == len(run.scores) == 12
    assert not (folder / FOLDER).exists()
    states = {check.what: check.state for check in verify(folder, Verification(render=True)).checks}
    assert set(states.values()) == {"same"}


def test_a_missing_model_is_one_line_that_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
    with pytest.raises(UserError, match=r"assets fetch stable-diffusion-2\.1-base.*--set model=") as raised:
        TokenFlow(Workspace(tmp_path, "paper", 0))
    assert "\n" not in str(raised.value)
