"""The doctor: finds what works here, and turns whatever breaks into one line with a remedy."""

import sys
import types

import pytest

from emo_bench import assets
from emo_bench.doctor import checks as doctor


def test_doctor_names_every_part_and_asset_once() -> None:
    checks = doctor.run_checks()
    names = [check.name for check in checks]
    parts = ["torch", "GPU", "video encoder", "OpenCV", "OpenCV's packages", "MediaPipe", "Anny", "Warp"]
    assert names[:8] == parts
    assert names[8:] == [f"asset {asset.name}" for asset in assets.list_assets()]
    assert all("\n" not in check.detail and check.detail for check in checks)
    assert {check.name for check in checks if check.required and not check.ok} == set()


def test_torchvision_built_for_another_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision.ops", Broken("torchvision.ops"))
    check = doctor._guarded("torch", doctor._torch, "")
    assert not check.ok
    assert "torchvision::nms does not exist" in check.detail
    assert "pip install" in check.detail


def test_missing_package_is_a_finding_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    check = doctor._guarded("video encoder", doctor._video_encoder, "pip install av")
    assert not check.ok and check.remedy == "pip install av"


def test_missing_asset_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.assets.location.candidates", lambda asset: iter(()))
    checks = {check.name: check for check in map(doctor._asset, assets.list_assets())}
    assert not any(check.ok for check in checks.values())
    assert checks["asset stlpips-alex"].remedy == "pip install stlpips-pytorch"
    assert checks["asset face-landmarker"].required


def test_two_distributions_of_opencv_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip lays the files of the second over those of the first; taking one away alone would take shared files too."""
    here = {"opencv-python", "opencv-contrib-python"}
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name in here)
    check = doctor._guarded("OpenCV's packages", doctor._opencv_packages, "", required=False)
    assert not check.ok
    remedy = "pip uninstall -y opencv-contrib-python opencv-python && pip install opencv-contrib-python"
    assert check.detail.endswith(remedy)
    here.remove("opencv-python")
    assert doctor._opencv_packages() == "opencv-contrib-python"
