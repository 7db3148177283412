"""Every convention against a small implementation of its source's rule, on frames that show the differences.

The frames are not square, the masks are soft, and the renderings have their own matte and a dark floater in the
background.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torchmetrics.image import (
    MultiScaleStructuralSimilarityIndexMeasure,
    PeakSignalNoiseRatio,
    StructuralSimilarityIndexMeasure,
)
from typer.testing import CliRunner

from emo_bench.cli.app import app
from emo_bench.clip.model import find_clip, load_clip
from emo_bench.metrics import Captions, Settings, detectors, flmd, identity, perceptual, regressed, score
from emo_bench.metrics.comparability import difference
from emo_bench.metrics.conventions import CONVENTIONS, find_convention
from emo_bench.metrics.detectors import Face, FaceFinder
from emo_bench.metrics.metric import Backend
from emo_bench.metrics.registry import metric_class
from emo_bench.metrics.watched import aggregated
from emo_bench.runs.frame_scoring import ScoreRequest, score_request

HEIGHT, WIDTH, COUNT = 181, 203, 3
RNG = np.random.default_rng(11)
Pictures = NDArray[np.uint8]
Floats = NDArray[np.float64]


def scene() -> tuple[Pictures, Pictures, Pictures]:
    """Renderings over white, recorded frames and soft masks of a textured disc that moves."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frames: list[Pictures] = []
    reference: list[Pictures] = []
    masks: list[Pictures] = []
    for i in range(COUNT):
        distance = np.hypot(rows - 90, columns - 95 - 4 * i) - 60
        matte = np.clip(0.5 - distance / 12, 0, 1)[..., None]
        face = 140 + 60 * np.sin(rows / 7 + i)[..., None] * np.array([1.0, 0.7, 0.4])
        room = 60 + 50 * np.cos(columns / 9)[..., None] * np.array([0.2, 0.5, 1.0])
        recorded = matte * face + (1 - matte) * room + RNG.normal(0, 4, face.shape)
        own_matte = np.clip(0.5 - (distance + 1.5) / 5, 0, 1)[..., None]
        rendered = own_matte * (face + RNG.normal(0, 12, face.shape)) + (1 - own_matte) * 255
        rendered[8:30, 150:185] = 20
        for series, picture in ((frames, rendered), (reference, recorded), (masks, 255 * matte[..., 0])):
            series.append(np.rint(picture.clip(0, 255)).astype(np.uint8))
    return np.stack(frames), np.stack(reference), np.stack(masks)


FRAMES, REFERENCE, MASKS = scene()


def folder_of(path: Path, pictures: Pictures) -> Path:
    path.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{number:03d}.png")
    return path


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    parts = {"frames": FRAMES, "reference": REFERENCE, "masks": MASKS}
    return {name: folder_of(tmp_path / name, pictures) for name, pictures in parts.items()}


def scored(folders: dict[str, Path], convention: str, metrics: tuple[str, ...], **others: Any) -> Any:
    masks = others.pop("masks", folders["masks"] if find_convention(convention).needs_masks else None)
    reference = others.pop("reference", folders["reference"])
    return score_request(ScoreRequest(folders["frames"], reference, masks, metrics, convention, **others))


# The rules, in floating point on [0, 1], each as its source has it.


def psnr_of(x: Floats, y: Floats) -> float:
    return float(-10 * np.log10(np.mean((x - y) ** 2)))


def ssim_map(x: Floats, y: Floats, padding: int) -> Floats:
    """The SSIM map of frames [H, W, 3] with a Gaussian window; `padding` zeros around both."""
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    column = torch.from_numpy(taps / taps.sum()).view(1, 1, 11, 1).expand(3, 1, 11, 1)

    def mean(picture: torch.Tensor) -> torch.Tensor:
        down = functional.conv2d(picture, column, padding=(padding, 0), groups=3)
        return functional.conv2d(down, column.transpose(2, 3), padding=(0, padding), groups=3)

    a, b = (torch.from_numpy(np.moveaxis(side, -1, 0)).double()[None] for side in (x, y))
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    top, bottom = (2 * mean_a * mean_b + c1) * (2 * both + c2), (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return (top / bottom)[0].numpy()


def over_white(reference: Floats, alpha: Floats) -> Floats:
    return reference * alpha[..., None] + (1 - alpha[..., None])


def squeezed(picture: Pictures, size: int) -> Floats:
    """A picture of that width stays; any other is squeezed to a square, in float32."""
    found = picture.astype(np.float32)
    return (found if found.shape[1] == size else cv2.resize(found, (size, size))).astype(np.float64) / 255


def each(rule: Callable[[Pictures, Pictures, Pictures], float]) -> list[float]:
    return [rule(*parts) for parts in zip(FRAMES, REFERENCE, MASKS, strict=True)]


def test_pointavatar_blends_only_the_reference_and_squeezes_to_512(folders: dict[str, Path]) -> None:
    def pair(frame: Pictures, reference: Pictures, mask: Pictures) -> tuple[Floats, Floats]:
        return squeezed(frame, 512), over_white(squeezed(reference, 512), squeezed(mask, 512))

    def psnr_with_epsilon(*parts: Pictures) -> float:
        x, y = pair(*parts)
        return float(20 * np.log10(1 / (np.sqrt(np.mean((x - y) ** 2)) + 1e-8)))

    table = scored(folders, "pointavatar", ("psnr-eps", "ssim", "l1"))
    np.testing.assert_allclose(table["psnr-eps"], each(psnr_with_epsilon), atol=1e-5)
    np.testing.assert_allclose(table["ssim"], each(lambda *p: ssim_map(*pair(*p), padding=0).mean()), atol=2e-6)
    np.testing.assert_allclose(table["l1"], each(lambda *p: np.abs(np.subtract(*pair(*p))).mean()), atol=2e-6)
    record = table.attrs["records"]["psnr-eps"]
    assert record["background"] == "white (reference, soft mask)"
    assert (record["resolution"], record["resize_filter"]) == ("512x512", "bilinear to 512 px")
    assert any("the reference is blended by them" in note for note in table.attrs["notes"])


def test_scores_by_other_masks_are_not_ranked_together(folders: dict[str, Path], tmp_path: Path) -> None:
    hard = folder_of(tmp_path / "hard", np.where(MASKS < 128, 0, 255).astype(np.uint8))
    soft, cut = (
        scored(folders, "insta-pytorch", ("psnr",), masks=masks).attrs["records"]["psnr"]
        for masks in (folders["masks"], hard)
    )
    assert difference(soft, soft) is None
    assert "masks (SHA-256)" in (difference(soft, {**cut, "reference_sha256": soft["reference_sha256"]}) or "")


def test_a_floater_costs_what_it_costs_in_the_code(folders: dict[str, Path]) -> None:
    """Cutting the rendering too, by the reference's mask, would hide the floater and the rendering's own matte."""
    seen = scored(folders, "insta-pytorch", ("psnr",))["psnr"].mean()
    hidden = scored(folders, "3dgs", ("psnr",), masks=folders["masks"], background="white")["psnr"].mean()
    assert hidden - seen > 3.0


def test_a_width_of_512_px_is_not_resized_even_if_the_frame_is_not_square(tmp_path: Path) -> None:
    wide = [np.stack([cv2.resize(p, (512, 96)) for p in part[:1]]) for part in (FRAMES, REFERENCE, MASKS)]
    folders = {name: folder_of(tmp_path / name, part)
               for name, part in zip(("frames", "reference", "masks"), wide, strict=True)}  # fmt: skip
    table = scored(folders, "pointavatar", ("psnr-eps",))
    assert table.attrs["records"]["psnr-eps"]["resolution"] == "512x96"
    x, y, alpha = (part[0].astype(np.float64) / 255 for part in wide)
    assert table["psnr-eps"].item() == pytest.approx(psnr_of(x, over_white(y, alpha)), abs=1e-5)


def test_imavatar_divides_by_the_face_and_blackens_the_rest(folders: dict[str, Path]) -> None:
    def parts(frame: Pictures, reference: Pictures, mask: Pictures) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        return squeezed(frame, 256), squeezed(reference, 256), squeezed(mask, 256) >= 128 / 255

    def rmse(*pictures: Pictures) -> float:
        x, y, inside = parts(*pictures)
        white = np.where(inside[..., None], y, 1.0)
        return float(np.sqrt((inside[..., None] * (x - white) ** 2).sum() / (3 * inside.sum())))

    def ssim(*pictures: Pictures) -> float:
        x, y, inside = parts(*pictures)
        return float(ssim_map(x * inside[..., None], y * inside[..., None], padding=0).mean())

    table = scored(folders, "imavatar", ("psnr-eps", "ssim-whole", "l1"))
    expected = [20 * np.log10(1 / (value + 1e-8)) for value in each(rmse)]
    np.testing.assert_allclose(table["psnr-eps"], expected, atol=1e-5)
    np.testing.assert_allclose(table["ssim-whole"], each(ssim), atol=2e-6)
    records = table.attrs["records"]
    assert records["psnr-eps"]["region"] == records["l1"]["region"] == "face, by the given masks"
    assert records["ssim-whole"]["background"] == "black outside the face"
    assert records["ssim-whole"]["region"] == "full frame"


def on_white_rounded_down(reference: Pictures, mask: Pictures) -> Floats:
    """GaussianAvatars makes an 8-bit picture by a cast, which rounds down."""
    alpha = mask[..., None] / 255.0
    return ((reference / 255.0 * alpha + (1 - alpha)) * 255.0).astype(np.uint8) / 255.0


def channel_psnr(x: Floats, y: Floats) -> float:
    return float(np.mean([psnr_of(x[..., c], y[..., c]) for c in range(3)]))


def padded_ssim(x: Floats, y: Floats) -> float:
    return float(ssim_map(x, y, padding=5).mean())


def test_gaussianavatars_rounds_down_averages_channels_and_pads(folders: dict[str, Path]) -> None:
    metrics = ("psnr-channels", "psnr", "ssim-padded")
    table = scored(folders, "gaussianavatars-train", metrics)
    for metric, rule in zip(metrics, (channel_psnr, psnr_of, padded_ssim), strict=True):
        expected = each(lambda x, y, m, rule=rule: rule(x / 255, on_white_rounded_down(y, m)))  # type: ignore[misc]
        np.testing.assert_allclose(table[metric], expected, atol=1e-5)
    assert scored(folders, "gaussianavatars-metrics", metrics).equals(table)
    assert table.attrs["records"]["psnr"]["background"] == "white (reference, soft mask, rounded down)"


def test_3dgs_scores_the_pictures_as_they_are(folders: dict[str, Path]) -> None:
    """Its metrics.py gives PSNR a batch of one frame: the function flattens everything but the first axis."""

    def of_first_axis(x: torch.Tensor, y: torch.Tensor) -> float:
        errors = ((x - y) ** 2).view(x.shape[0], -1).mean(1, keepdim=True)
        return float((20 * torch.log10(1.0 / torch.sqrt(errors))).mean())

    def tensor(picture: Pictures) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0))).double() / 255

    table = scored(folders, "3dgs", ("psnr", "psnr-channels", "ssim-padded"))
    np.testing.assert_allclose(table["psnr"], each(lambda x, y, _: of_first_axis(tensor(x)[None], tensor(y)[None])))
    np.testing.assert_allclose(table["psnr-channels"], each(lambda x, y, _: of_first_axis(tensor(x), tensor(y))))
    np.testing.assert_allclose(table["ssim-padded"], each(lambda x, y, _: padded_ssim(x / 255, y / 255)), atol=1e-5)


def test_3dgs_reads_the_colours_of_transparent_pictures_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """Its metrics.py takes the first three channels of both pictures."""
    opaque = scored(folders, "3dgs", ("psnr",))
    for side, pictures in (("frames", FRAMES), ("reference", REFERENCE)):
        rgba = folder_of(tmp_path / f"{side}-rgba", np.concatenate([pictures, MASKS[..., None]], axis=-1))
        transparent = scored({**folders, side: rgba}, "3dgs", ("psnr",))
        np.testing.assert_array_equal(transparent["psnr"], opaque["psnr"])
        assert any("is not used" in note for note in transparent.attrs["notes"])
        assert transparent.attrs["records"]["psnr"]["background"] == "as filmed"


def test_insta_pytorch_blends_an_rgba_reference_by_its_own_alpha(folders: dict[str, Path], tmp_path: Path) -> None:
    rgba = folder_of(tmp_path / "rgba", np.concatenate([REFERENCE, MASKS[..., None]], axis=-1))
    expected = each(lambda x, y, m: psnr_of(x / 255, over_white(y / 255, m / 255)))
    by_alpha = scored(folders, "insta-pytorch", ("psnr",), reference=rgba, masks=None)
    np.testing.assert_allclose(by_alpha["psnr"], expected, atol=1e-5)
    assert any("the alpha of" in note and "is the mask" in note for note in by_alpha.attrs["notes"])
    for reference in (rgba, folders["reference"]):
        by_masks = scored(folders, "insta-pytorch", ("psnr",), reference=reference)
        np.testing.assert_array_equal(by_masks["psnr"], by_alpha["psnr"])


def test_the_alpha_of_a_rendering_is_not_used(folders: dict[str, Path], tmp_path: Path) -> None:
    expected = scored(folders, "insta-pytorch", ("psnr",))
    rgba = folder_of(tmp_path / "rgba", np.concatenate([FRAMES, MASKS[..., None]], axis=-1))
    found = scored({**folders, "frames": rgba}, "insta-pytorch", ("psnr",))
    np.testing.assert_array_equal(found["psnr"], expected["psnr"])
    assert any("is not used" in note for note in found.attrs["notes"])
    assert not any("is not used" in note for note in expected.attrs["notes"])


def test_a_rendering_with_the_recorded_background_is_noted(folders: dict[str, Path]) -> None:
    as_filmed = {**folders, "frames": folders["reference"]}
    notes = scored(as_filmed, "pointavatar", ("psnr-eps",)).attrs["notes"]
    assert any("100% of the frames' background is not white" in note for note in notes)
    assert not any("background is not white" in note for note in scored(folders, "nha", ("psnr",)).attrs["notes"])


def ms_ssim_of_pytorch_msssim(x: Floats, y: Floats) -> float:
    """In each channel the product of the scales, then the mean; odd sides are padded with zeros on both ends."""
    a, b = (torch.from_numpy(np.moveaxis(side, -1, 0)).double()[None] for side in (x, y))
    taps = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2)).double()
    kernel = torch.outer(taps, taps)[None, None].expand(3, 1, 11, 11) / taps.sum() ** 2
    product = torch.ones(3, dtype=torch.float64)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        means = [functional.conv2d(part, kernel, groups=3) for part in (a, b, a * a, b * b, a * b)]
        contrast = (2 * (means[4] - means[0] * means[1]) + 0.03**2) / (
            means[2] - means[0] ** 2 + means[3] - means[1] ** 2 + 0.03**2
        )
        light = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
        factor = (contrast * light if scale == 4 else contrast).mean(dim=(2, 3))[0]
        product *= torch.relu(factor) ** weight
        padding = (a.shape[2] % 2, a.shape[3] % 2)
        a, b = (functional.avg_pool2d(part, 2, padding=padding) for part in (a, b))
    return float(product.mean())


def test_nha_has_a_hard_mask_and_ms_ssim_by_channels(folders: dict[str, Path]) -> None:
    def pair(frame: Pictures, reference: Pictures, mask: Pictures) -> tuple[Floats, Floats]:
        return frame / 255, over_white(reference / 255, (mask >= 128).astype(float))

    table = scored(folders, "nha", ("psnr", "ms_ssim-channels"))
    # On [-1, 1] the peak is 2, which gives the same number.
    signed = each(lambda *p: float(20 * np.log10(2 / np.sqrt(np.mean((2 * np.subtract(*pair(*p))) ** 2)))))
    np.testing.assert_allclose(table["psnr"], signed, atol=1e-9)
    expected = each(lambda *p: ms_ssim_of_pytorch_msssim(*pair(*p)))
    np.testing.assert_allclose(table["ms_ssim-channels"], expected, atol=2e-6)
    assert "ssim" not in find_convention("nha").metrics
    assert table.attrs["records"]["psnr"]["background"] == "white (reference, hard mask)"


class Blobs:
    """A detector for dark frames with one bright blob: its box is the blob's, the landmarks depend on box and frame."""

    def surest_box(self, frame_u8: Pictures) -> tuple[int, int] | None:
        found = np.argwhere(frame_u8[..., 0] > 200)
        return tuple(found[0]) if len(found) else None

    def landmarks_in(self, frame_u8: Pictures, box: tuple[int, int]) -> NDArray[np.float32]:
        shape = np.stack([np.arange(68) % 7, np.arange(68) // 7], axis=1)
        return (shape * (1 + frame_u8[box][1] / 100) + np.array(box[::-1])).astype(np.float32)

    def detect(self, frame_u8: Pictures) -> Face | None:
        box = self.surest_box(frame_u8)
        return None if box is None else Face(self.landmarks_in(frame_u8, box))


def blob_at(*places: tuple[int, int] | None, green: int) -> Pictures:
    frames = np.full((len(places), 40, 50, 3), green, np.uint8)
    frames[..., 0] = 0
    for frame, place in zip(frames, places, strict=True):
        if place:
            frame[place] = (255, green, 0)
    return frames


def test_nha_looks_for_landmarks_in_the_box_of_the_reference() -> None:
    reference = blob_at((10, 10), (20, 5), None, green=0)
    # The second rendering has lost its face, and the third has one that the reference lacks.
    frames = blob_at((12, 10), None, (8, 8), green=50)
    metric = metric_class("flmd-one-box")(detector=Blobs())  # type: ignore[call-arg]
    shape = np.stack([np.arange(68) % 7, np.arange(68) // 7], axis=1)
    moved = np.linalg.norm(0.5 * shape, axis=1).mean()
    scores = metric.score(frames, reference)
    np.testing.assert_allclose(scores[:2], [moved, moved], rtol=1e-6)
    assert np.isnan(scores[2])
    alone = metric_class("flmd-native")(detector=Blobs()).score(frames, reference)  # type: ignore[call-arg]
    assert alone[0] > moved + 1 and np.isnan(alone[1])


def test_mediapipe_takes_no_box_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "missing_detector", lambda asked="auto": None)
    said = "mediapipe takes no box of a face: name the detector fan or dlib"
    assert detectors.missing_box_detector("mediapipe") == said
    assert detectors.missing_box_detector("fan") is None
    table = score(FRAMES, REFERENCE, metrics=("flmd-one-box",), settings=Settings(detector="mediapipe"))
    assert table["flmd-one-box"].isna().all()
    assert table.attrs["records"]["flmd-one-box"]["backend"] == {"name": "n/a", "sha256": None, "detail": said}


def test_rad_nerf_centres_each_set_and_names_another_detector(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {bool(mine): RNG.normal(100, 20, (68, 2)).astype(np.float32) for mine in (True, False)}

    class Fixed:
        def detect(self, frame_u8: Pictures) -> Face:
            return Face(points[bool((frame_u8[0, 0] == 255).all())])

    monkeypatch.setattr(flmd, "missing_detector", lambda asked="auto": None)
    monkeypatch.setattr(flmd, "detector_name", lambda asked="auto": "mediapipe")
    used = Backend("mediapipe-478-to-68")
    monkeypatch.setattr(flmd, "open_detector", lambda name, device: FaceFinder(Fixed(), used))
    table = scored(folders, "rad-nerf-lmd", ())
    for metric, part in (("lmd-native", slice(0, 68)), ("lmd-native-mouth", slice(48, 68))):
        mine, theirs = (points[key][part] - points[key][part].mean(0) for key in (True, False))
        expected = np.sqrt(((mine - theirs) ** 2).sum(1)).mean(0)
        np.testing.assert_allclose(table[metric], expected, rtol=1e-5)
    assert any(n.startswith("lmd-native: rad-nerf-lmd uses face-alignment") for n in table.attrs["notes"])
    used = Backend("face-alignment-2dfan4")
    assert not scored(folders, "rad-nerf-lmd", ()).attrs["notes"]


def test_visage_scores_batches_of_16_frames_by_torchmetrics(tmp_path: Path) -> None:
    """19 frames: the last batch of 3 has the weight of the first one of 16."""
    strength = np.linspace(4, 60, 19)[:, None, None, None]
    reference = np.repeat(REFERENCE[:1], 19, axis=0)
    frames = (reference + RNG.normal(0, 1, reference.shape) * strength).clip(0, 255).astype(np.uint8)
    folders = {"frames": folder_of(tmp_path / "f", frames), "reference": folder_of(tmp_path / "r", reference)}
    theirs = {
        "psnr-batch16": PeakSignalNoiseRatio(data_range=1.0),
        "ssim-reflect": StructuralSimilarityIndexMeasure(data_range=1.0),
        "ms_ssim-reflect": MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0),
    }
    table = scored(folders, "visage", tuple(theirs))
    x, y = (torch.from_numpy(np.moveaxis(part, -1, 1)).float() / 255 for part in (frames, reference))
    for metric, module in theirs.items():
        expected = np.mean([float(module(x[i : i + 16], y[i : i + 16])) for i in (0, 16)])
        assert aggregated(metric_class(metric), table[metric].to_numpy()) == pytest.approx(expected, abs=1e-5)


def test_visage_says_what_stands_for_its_landmarks_and_embeddings(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flmd, "missing_detector", lambda asked="auto": None)
    monkeypatch.setattr(flmd, "detector_name", lambda asked="auto": "blobs")
    monkeypatch.setattr(flmd, "open_detector", lambda name, device: FaceFinder(Blobs()))
    notes = scored(folders, "visage", ("flmd-native",)).attrs["notes"]
    assert any(note.startswith("flmd-native: stands for akd") and note.endswith("by Blobs") for note in notes)
    named = find_convention("visage").stands_for
    assert [what.partition(",")[0] for what in named.values()] == ["akd", "csim", "aed", "apd"]


def test_akd_by_coordinate_is_half_to_all_of_the_distance(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTAvatar's and FOMM's AKD is the mean over x and y: 68 points that all move by (3, 4) px move by 3.5."""
    points = np.random.default_rng(0).uniform(20, 80, (68, 2)).astype(np.float32)

    class Moved:
        def detect(self, frame_u8: Pictures) -> Face:
            return Face(points + np.float32([3, 4]) * bool((frame_u8[0, 0] == 255).all()))

    monkeypatch.setattr(flmd, "missing_detector", lambda asked="auto": None)
    monkeypatch.setattr(flmd, "detector_name", lambda asked="auto": "moved")
    monkeypatch.setattr(flmd, "open_detector", lambda name, device: FaceFinder(Moved()))
    table = scored(folders, "otavatar", ("akd-l1", "flmd-native"))
    np.testing.assert_allclose(table["akd-l1"], 3.5, rtol=1e-5)
    np.testing.assert_allclose(table["flmd-native"], 5.0, rtol=1e-5)
    assert any(note.startswith("akd-l1: otavatar uses face-alignment") for note in table.attrs["notes"])


@pytest.mark.parametrize("name", ["gagavatar", "otavatar", "pirenderer", "liveportrait"])
def test_reenactment_metrics_without_their_weights_say_what_to_do(
    name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact metrics are n/a with the command that brings their weights; what stands for them says so."""
    monkeypatch.setattr(identity, "_is_here", lambda embedder: False)
    monkeypatch.setattr(regressed.assets, "lacking", lambda asset: f"needs asset {asset}; run: emo-bench assets add")
    convention = find_convention(name)
    exact = [metric for metric in ("csim", "aed_deep3d", "apd_deep3d", "aed_smirk") if metric in convention.metrics]
    records = scored(folders, name, tuple(exact)).attrs["records"]
    for metric in exact:
        assert records[metric]["backend"]["name"] == "n/a"
        assert "run: emo-bench assets" in records[metric]["backend"]["detail"], metric
    assert exact and set(convention.stands_for) <= set(convention.metrics)


def test_instruct_pix2pix_has_both_similarities_on_squeezed_frames(folders: dict[str, Path]) -> None:
    captions = Captions("a photo of a man", "a bronze statue of a man")
    table = scored(folders, "instruct-pix2pix", (), settings=Settings(clip="portraits", captions=captions))
    model = load_clip(find_clip("portraits"), "cpu")

    def image(pictures: Pictures) -> torch.Tensor:
        return torch.from_numpy(model.of_frames(pictures))

    change = torch.from_numpy(model.of_caption(captions.target) - model.of_caption(captions.source))[None]
    first, second = image(REFERENCE), image(FRAMES)
    np.testing.assert_allclose(table["clip_d"], functional.cosine_similarity(second - first, change), atol=1e-5)
    np.testing.assert_allclose(table["clip_i"], functional.cosine_similarity(first, second), atol=1e-5)
    assert any(n.startswith("clip_d: instruct-pix2pix uses clip-vit-l-14") for n in table.attrs["notes"])


def test_lpips_never_becomes_st_lpips_in_silence(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if perceptual.STLPIPS.missing():
        pytest.skip("no ST-LPIPS here")
    monkeypatch.setattr(perceptual.LPIPS, "missing", classmethod(lambda cls: "needs asset lpips-alex"))
    command = ["score", str(folders["frames"]), "--reference", str(folders["reference"])]
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, [*command, "--masks", str(folders["masks"]), "--convention", "insta-pytorch", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    said = "note: lpips: needs asset lpips-alex; st-lpips is scored instead: it is another quantity"
    assert said in result.output
    kept = json.loads((out / "records.json").read_text())
    assert kept["records"]["st-lpips"]["instead_of"] == "lpips"
    assert any(said.removeprefix("note: ") in note for note in kept["notes"])
    asked = scored(folders, "3dgs", ("st-lpips",))
    assert "instead_of" not in asked.attrs["records"]["st-lpips"]
    assert not asked.attrs["notes"]


def test_every_convention_has_a_test_here() -> None:
    """emo-bench and the paper's have no code of their own: their metrics are tested elsewhere, frames as filmed."""
    source = Path(__file__).read_text(encoding="utf-8")
    for convention in CONVENTIONS:
        if convention.name in ("emo-bench", "emo-avatar-paper"):
            assert (convention.background, convention.size_px, convention.region) == ("as filmed", None, "full frame")
        else:
            assert f'"{convention.name}"' in source, convention.name
