"""AED and APD by Deep3DFaceRecon: its crop on hand-made landmarks, and its network with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from torchvision.models import resnet50

from emo_bench import assets
from emo_bench.assets import location
from emo_bench.errors import UserError
from emo_bench.metrics import deep3d, flmd, regressed, score
from emo_bench.metrics.deep3d import COEFFICIENTS, Deep3D, aligned
from emo_bench.metrics.detectors import Face, FaceFinder

# A standard face in its own units, y upwards, whose origin is the middle of the crop.
FACE = np.random.default_rng(5).normal(0, 0.4, (68, 3))
FIVE = deep3d._five(FACE)


def seen(scale: float, middle: tuple[float, float], height: int) -> np.ndarray:
    """The landmarks of the standard face as a frame of this height shows them, first pixel's centre at (0.5, 0.5)."""
    points = FACE[:, :2] * scale + middle
    return np.stack([points[:, 0], height - 1 - points[:, 1]], axis=1).astype(np.float32) + 0.5


def test_a_face_of_the_right_size_is_cut_out_pixel_by_pixel() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (400, 360, 3), np.uint8)
    # 102 px a unit need no resize; the origin is 170 px from the left and 210 from below. The published code cuts
    # fractions off, so that the numbers here lie a little above whole ones.
    crop = aligned(frame, seen(101.99, (170.3, 209.7), 400), FIVE)
    np.testing.assert_array_equal(crop, frame[190 - 112 : 190 + 112, 170 - 112 : 170 + 112])


@settings(max_examples=15, deadline=None)
@given(st.floats(40, 200), st.integers(120, 200), st.integers(120, 200))
def test_any_size_of_a_face_is_enlarged_to_the_same_crop(scale: float, x: int, y: int) -> None:
    """A disc of one unit around the origin has a radius of 102 px in the crop, and its middle is that of the crop."""
    rows, columns = np.mgrid[:320, :320]
    disc = np.hypot(columns - x, rows - (319 - y)) < scale
    crop = aligned(np.repeat(disc[..., None] * np.uint8(255), 3, axis=2), seen(scale, (x, y), 320), FIVE)
    inside = crop[..., 0] > 127
    # What leaves the frame is black, so only its inside is compared.
    frame = aligned(np.full((320, 320, 3), 255, np.uint8), seen(scale, (x, y), 320), FIVE)[..., 0] > 127
    to_middle = np.hypot(*(np.mgrid[:224, :224] - 111.5))
    near = 1.5 * 102 / scale + 1.5  # a pixel and a half of the frame, and the crop's whole pixels
    assert not (inside & (to_middle > 102 + near)).any()
    assert (inside | ~frame)[to_middle < 102 - near].all()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.nn.Module]:
    """Random weights in the published form, and torchvision's network with the same ones."""
    torch.manual_seed(3)
    network = resnet50(weights=None, num_classes=sum(COEFFICIENTS.values())).eval()
    state = {f"backbone.{k}": v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    rows = np.cumsum([0, 80, 64, 80, 3, 27, 2, 1])
    for i, (first, last) in enumerate(pairwise(rows)):
        state[f"final_layers.{i}.weight"] = network.fc.weight.detach()[first:last, :, None, None].clone()
        state[f"final_layers.{i}.bias"] = network.fc.bias.detach()[first:last].clone()
    folder = tmp_path / "deep3d-recon"
    folder.mkdir()
    torch.save({"net_recon": state, "opt_00": {"state": {}, "param_groups": []}}, folder / "epoch_20.pth")
    savemat(folder / "similarity_Lm3D_all.mat", {"lm": FACE})
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(tmp_path))
    regressed.opened.cache_clear()
    yield network
    regressed.opened.cache_clear()


def test_coefficients_are_those_of_the_published_layers(weights: torch.nn.Module) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    landmarks = seen(80.0, (150.0, 140.0), 300)
    image = torch.from_numpy(aligned(frame, landmarks, FIVE).astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = weights(image)[0].numpy()
    found = Deep3D().coefficients(frame, Face(landmarks))
    # sicxu/Deep3DFaceRecon_pytorch models/bfm.py: expression 80 to 143, angles 224 to 226.
    np.testing.assert_allclose(found.expression, expected[80:144], atol=1e-5)
    np.testing.assert_allclose(found.pose_rad, expected[224:227], atol=1e-5)


def seen_in(frame: np.ndarray) -> Face:
    face = Sees().detect(frame)
    assert face is not None
    return face


class Sees:
    """Finds a face in every frame that is not black, at a place that the first pixel tells."""

    def detect(self, frame_u8: np.ndarray) -> Face | None:
        return Face(seen(60.0, (90.0 + frame_u8[0, 0, 0] / 8, 100.0), 200)) if frame_u8.any() else None


def test_aed_and_apd_are_mean_absolute_differences(weights: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = FaceFinder(Sees())
    for module in (regressed, flmd):
        monkeypatch.setattr(module, "missing_detector", lambda asked="auto": None)
    monkeypatch.setattr(flmd, "detector_name", lambda asked="auto": "sees")
    monkeypatch.setattr(flmd, "open_detector", lambda name, device: finder)
    frames, reference = np.random.default_rng(2).integers(1, 256, (2, 3, 200, 200, 3), np.uint8)
    frames[2], reference[1] = 0, frames[1]
    table = score(frames, reference, metrics=("aed_deep3d", "apd_deep3d"))
    network = Deep3D()
    for metric, part in (("aed_deep3d", 0), ("apd_deep3d", 1)):
        sides = [network.coefficients(f[0], seen_in(f[0]))[part] for f in (frames, reference)]
        assert table[metric][0] == pytest.approx(np.abs(sides[0] - sides[1]).mean(), rel=1e-6)
        assert table[metric][1] == 0 and np.isnan(table[metric][2])
        record = table.attrs["records"][metric]
        assert record["backend"]["name"] == "deep3d-recon" and record["conditions"] == {"faces": "Sees"}


def test_without_the_weights_the_scores_say_where_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "locate", lambda name: None)
    monkeypatch.setattr(regressed, "missing_detector", lambda asked="auto": None)
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    record = score(frames, frames, metrics=("aed_deep3d",)).attrs["records"]["aed_deep3d"]
    assert record["backend"]["name"] == "n/a"
    assert "emo-bench assets add deep3d-recon FOLDER" in record["backend"]["detail"]


@pytest.mark.parametrize("damage", ["no network", "other layers", "no landmarks"])
def test_damaged_files_are_one_line(weights: torch.nn.Module, damage: str) -> None:
    folder = assets.require("deep3d-recon").path
    if damage == "no landmarks":
        savemat(folder / "similarity_Lm3D_all.mat", {"lm": FACE[:5]})
    else:
        kept = torch.load(folder / "epoch_20.pth", weights_only=True)
        kept["net_recon"].update({"final_layers.1.weight": torch.zeros(50, 2048, 1, 1)})
        torch.save({} if damage == "no network" else kept, folder / "epoch_20.pth")
    with pytest.raises(UserError, match="cannot be read as a") as caught:
        Deep3D()
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_the_crop_is_pillows_bicubic_resize() -> None:
    """At twice the size: the crop of a face of 51 px a unit is that of the frame enlarged by Pillow."""
    frame = np.random.default_rng(4).integers(0, 256, (200, 200, 3), np.uint8)
    crop = aligned(frame, seen(50.995, (100.2, 99.8), 200), FIVE)
    large = np.asarray(Image.fromarray(frame).resize((400, 400), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(crop, large[88:312, 88:312])
