"""Laws that hold for every metric at hand, on real frames: cutting into batches, identity, worse is worse."""

from __future__ import annotations

import functools
import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emo_bench.actors import load
from emo_bench.metrics import Captions, Settings, list_metrics, score
from emo_bench.metrics.registry import metric_class

FramesU8 = NDArray[np.uint8]
SETTINGS = Settings(captions=Captions("a photo of a woman", "a bronze statue of a woman"), fps=25.0)
AT_HAND = [state.info.id for state in list_metrics() if state.missing is None]
COUNT, SIZE = 7, 192

# What each kind of damage must make worse at every step; sd and landmarks have their own reasons to differ.
PIXELS = {"psnr", "psnr-eps", "psnr_global", "l1", "ssim", "ms_ssim"}
FEATURES = {"lpips", "lpips-vgg", "st-lpips", "st-lpips-vgg"}
WORSE = {
    "blur": PIXELS | FEATURES | {"sd", "sd_db", "sd_global"},
    "noise": PIXELS | FEATURES | {"sd", "sd_db", "sd_global"},
    "shift": PIXELS | {"sd", "sd_db", "flmd"},
    "jpeg": PIXELS | FEATURES,
}
STRENGTHS = {
    "blur": (0.6, 1.0, 1.6, 2.5, 4.0),
    "noise": (4, 8, 16, 32, 64),
    "shift": (1, 2, 3, 5, 8),
    "jpeg": (90, 60, 35, 18, 8),
}


def size_for(metric: str) -> int:
    """VGG16 is slow, MS-SSIM needs its five scales."""
    return 64 if "vgg" in metric else SIZE


@functools.cache
def real_frames(size: int = SIZE) -> FramesU8:
    return np.stack(list(load("1").frames(range(40, 40 + COUNT), size=size)))


def damaged(kind: str, strength: float, size: int = SIZE) -> FramesU8:
    frames = real_frames(size)
    if kind == "blur":
        return np.stack([cv2.GaussianBlur(frame, (0, 0), strength) for frame in frames])
    if kind == "noise":
        noise = np.random.default_rng(1).normal(0.0, 1.0, frames.shape) * strength
        return np.clip(frames + noise, 0, 255).round().astype(np.uint8)
    if kind == "shift":
        return np.roll(frames, int(strength), axis=2)
    return np.stack([jpeg(frame, int(strength)) for frame in frames])


def jpeg(frame: FramesU8, quality: int) -> FramesU8:
    stored = io.BytesIO()
    Image.fromarray(frame).save(stored, "JPEG", quality=quality)
    return np.array(Image.open(stored))


@pytest.mark.parametrize("metric", AT_HAND)
def test_cutting_into_batches_changes_nothing(metric: str) -> None:
    size = size_for(metric)
    frames, reference = damaged("blur", 1.0, size), real_frames(size)
    whole, cut = (score(frames, reference, metrics=(metric,), batch=batch, settings=SETTINGS) for batch in (COUNT, 3))
    np.testing.assert_allclose(cut[metric], whole[metric], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("metric", "kind"), [(metric, kind) for kind, metrics in WORSE.items() for metric in sorted(metrics)]
)
def test_stronger_damage_scores_worse(metric: str, kind: str) -> None:
    if metric not in AT_HAND:
        pytest.skip(f"{metric}: {metric_class(metric).missing()}")
    size = size_for(metric)
    reference = real_frames(size)
    found = [
        metric_class(metric).aggregate(
            score(damaged(kind, strength, size), reference, metrics=(metric,))[metric].to_numpy()
        )
        for strength in STRENGTHS[kind]
    ]
    sign = 1.0 if metric_class(metric).info.direction == "lower" else -1.0
    assert (np.diff(sign * np.array(found)) > 0).all(), found


@pytest.mark.parametrize("metric", sorted(PIXELS | FEATURES | {"sd", "sd_global", "flmd"}))
def test_identical_frames_have_the_best_score(metric: str) -> None:
    if metric not in AT_HAND:
        pytest.skip(f"{metric}: {metric_class(metric).missing()}")
    frames = real_frames()[:2]
    found = score(frames, frames, metrics=(metric,))[metric].to_numpy()
    best = {"psnr": np.inf, "psnr_global": np.inf, "psnr-eps": 160.0, "ssim": 1.0, "ms_ssim": 1.0}
    np.testing.assert_allclose(found, best.get(metric, 0.0), atol=1e-6)


@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="no GPU here")
@pytest.mark.parametrize("metric", AT_HAND)
def test_a_gpu_gives_the_same_numbers(metric: str) -> None:
    frames, reference = damaged("blur", 1.0), real_frames()
    here = score(frames, reference, metrics=(metric,), settings=SETTINGS)[metric]
    there = score(
        frames, reference, metrics=(metric,), settings=Settings("cuda", captions=SETTINGS.captions, fps=SETTINGS.fps)
    )[metric]
    np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("metric", AT_HAND)
def test_small_frames_have_a_number_or_a_reason(metric: str) -> None:
    """Sizes at which some metric raised, or OpenCV's flow crashed the process: 9 to 15 px beside 40."""
    sides = (1, 2, 5, 7, 8, 9, 11, 15, 16, 17, 18, 20, 21, 23, 31, 40, 64)
    sizes = [(side, side) for side in sides] + [(9, 64), (15, 40), (64, 12), (16, 64), (21, 64), (1, 64)]
    source = real_frames(64)[:3]
    for height, width in sizes:
        frames = np.ascontiguousarray(source[:, :height, :width])
        reference = np.clip(frames.astype(int) + 3, 0, 255).astype(np.uint8)
        table = score(frames, reference, metrics=(metric,), settings=SETTINGS)
        record = table.attrs["records"][metric]
        if table[metric].isna().all():
            reason = record["backend"]["detail"] if record["backend"]["name"] == "n/a" else ""
            assert reason or metric_class(metric).info.undefined, (height, width)
        if min(height, width) < metric_class(metric).info.least_px:
            assert table[metric].isna().all() and f"these have {width}x{height}" in record["backend"]["detail"]


@pytest.mark.parametrize(
    ("trunk", "tolerant", "metric"),
    [("alex", False, "lpips"), ("alex", True, "st-lpips"), ("vgg", False, "lpips-vgg"), ("vgg", True, "st-lpips-vgg")],
)
def test_the_least_size_of_learned_features_is_exact(trunk: str, tolerant: bool, metric: str) -> None:
    """The network takes frames of the least size and none that is smaller, with any weights."""
    import torch

    from emo_bench.perceptual import PerceptualDistance

    least = metric_class(metric).info.least_px
    network = PerceptualDistance(trunk, tolerant)
    for size in ((least, least), (least, 64), (64, least)):
        assert torch.isfinite(network(torch.zeros(1, 3, *size), torch.ones(1, 3, *size))).all()
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, least - 1, 64), torch.ones(1, 3, least - 1, 64))
