"""What the defaults are on each kind of machine: without a GPU, with one, with one and the assets of profile paper."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from emo_bench import assets
from emo_bench.actors.capture import Capture
from emo_bench.assets.location import AssetFile
from emo_bench.cli import main
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import Method, MethodInfo, Workspace, gpu_resolution_px
from emo_bench.runs import runner
from emo_bench.runs.plan import MINI_PROTOCOL, RunRequest, default_profile, plan_run
from emo_bench.system.devices import chosen_device
from tests.gpu.test_fits import AVATARS, TINY


class PlugIn(Method):
    info = MethodInfo("plug-in", "Plug-in", "", "MIT", frozenset({"render"}), (), "a test")

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        return ("smoke", "cpu", "paper")


class PaperOnly(PlugIn):
    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        return ("smoke", "paper")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def lines(request: RunRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a run logs before it begins to work."""

    class Began(Exception):
        pass

    def begin(*_: object) -> None:
        raise Began

    monkeypatch.setattr("emo_bench.runs.stages.fit", begin)
    monkeypatch.setattr(logging.getLogger("emo_bench"), "propagate", True)
    with caplog.at_level(logging.INFO, "emo_bench"), pytest.raises(Began):
        runner.run(request)
    return [record.getMessage() for record in caplog.records]


def test_the_device_has_a_number(one_gpu: None, tmp_path: Path) -> None:
    assert [chosen_device(asked) for asked in (None, "cuda", "cuda:0", "cpu")] == [*["cuda:0"] * 3, "cpu"]
    assert Workspace(tmp_path, "smoke", 0, "cuda").device == "cuda:0"
    assert Workspace(tmp_path, "smoke", 0, "cuda:1").device == "cuda:1"


@pytest.mark.parametrize("name", AVATARS)
def test_without_a_gpu_the_default_is_cpu(
    name: str, no_gpu: None, capture: Capture, tmp_path: Path, protocol_file: str
) -> None:
    method = plan_run(RunRequest(name, "face", protocol=protocol_file, runs_dir=tmp_path)).method
    assert (method.workspace.profile, method.workspace.device) == ("cpu", "cpu")
    assert method.resolution_px == 128


@pytest.mark.parametrize("name", AVATARS)
def test_on_a_gpu_the_default_runs_with_what_is_here_at_the_captures_size(
    name: str, one_gpu: None, capture: Capture, tmp_path: Path, protocol_file: str
) -> None:
    method = plan_run(RunRequest(name, "face", protocol=protocol_file, runs_dir=tmp_path)).method
    assert (method.workspace.profile, method.workspace.device) == ("gpu", "cuda:0")
    assert method.resolution_px == capture.size_px == 64
    assert all(assets.locate(asset) for asset in type(method).required_assets("gpu"))
    method.describe()
    cls = methods.method_class(name)
    for capture_px, rendered_px in ((128, 128), (256, 256), (384, 256), (512, 512), (1080, 512), (None, 256)):
        sized = cls(Workspace(tmp_path, "gpu", 0, "cuda:0", capture_px=capture_px))
        assert sized.resolution_px == rendered_px
    asked = cls(Workspace(tmp_path, "gpu", 0, "cuda:0", {"resolution_px": "128"}, capture_px=512))
    assert asked.resolution_px == 128


def test_the_sizes_of_the_gpu_profile_are_one_for_all_methods() -> None:
    assert [gpu_resolution_px(side) for side in (16, 64, 100, 300, 4096)] == [64, 64, 64, 256, 512]


def test_where_papers_assets_are_missing_one_line_names_them(
    one_gpu: None,
    capture: Capture,
    tmp_path: Path,
    protocol_file: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = lines(RunRequest("emo-avatar", "face", protocol=protocol_file, runs_dir=tmp_path), monkeypatch, caplog)
    found = [line for line in said if "--profile paper" in line]
    assert len(found) == 1 and found[0].startswith("profile gpu is the default on a GPU")
    assert "would need ffhq-512" in found[0] and "emo-bench assets fetch ffhq-512" in found[0]


def test_where_papers_assets_are_here_the_default_stays_and_the_line_says_so(
    one_gpu: None,
    capture: Capture,
    tmp_path: Path,
    protocol_file: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    locate = assets.locate
    there = AssetFile(tmp_path, "in a test")
    monkeypatch.setattr(assets, "locate", lambda name: locate(name) or there)
    said = lines(RunRequest("emo-avatar", "face", protocol=protocol_file, runs_dir=tmp_path), monkeypatch, caplog)
    found = [line for line in said if "--profile paper" in line]
    assert len(found) == 1 and found[0].endswith("has all its assets here")
    assert "profile gpu, seed 0" in said[0]


@pytest.mark.parametrize("asked", ["cpu", "gpu"])
def test_a_profile_that_was_asked_for_needs_no_such_line(
    asked: str,
    one_gpu: None,
    capture: Capture,
    tmp_path: Path,
    protocol_file: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = RunRequest("emo-avatar", "face", protocol_file, profile=asked, runs_dir=tmp_path)
    assert not [line for line in lines(request, monkeypatch, caplog) if "--profile paper" in line]


def test_methods_of_others_need_no_gpu_profile() -> None:
    assert default_profile(PlugIn, "cuda:0") == default_profile(PlugIn, "cpu") == "cpu"
    assert default_profile(PaperOnly, "cuda:0") == "paper"


def test_the_main_command_runs_on_a_gpu(
    gpu: str, capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fit, rendering, scores, trivial methods, default edit and its scores, with no option but a short schedule."""
    short = {key: value for key, value in TINY["emo-avatar"].items() if key != "resolution_px"}
    short |= {"skip_resolutions": "16,32", "steps": "2", "edit.steps": "1", "edit.frame_pool": "3"}
    options = [word for key, value in short.items() for word in ("--set", f"{key}={value}")]
    command = ["run", "--method", "emo-avatar", "--actor", "face", "--protocol", MINI_PROTOCOL]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--runs", str(tmp_path / "runs"), *options])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    assert "profile gpu is the default on a GPU; --profile paper" in said.err
    manifests = sorted((tmp_path / "runs").rglob("run.json"))
    assert len(manifests) == 4, "run, edit, mean-frame, nearest-frame"
    for path in manifests:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        assert manifest["identity"]["profile"] == "gpu" and manifest["identity"]["resolution_px"] == 64
        assert "cuda" not in json.dumps(manifest["identity"]), "a run may go on on another device"
        assert manifest["stages"]["fit"]["machine"]["device"].startswith("cuda:0: ")
        assert manifest["stages"]["fit"]["gpu_memory_mib"] >= 0
        assert (path.parent / "frames.parquet").is_file()
