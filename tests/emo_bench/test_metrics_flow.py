"""Warping error and flicker: known motion gives about nothing, added flicker its own size, batches do not matter."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from emo_bench.actors import load
from emo_bench.metrics import Scorer, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.flow import Flicker, WarpingError, _motions

METRICS = ("warping_error", "flicker")


@functools.cache
def panning() -> np.ndarray:
    """A window that moves 3 px right and 1 px down a frame over a photograph: [6,96,96,3], mid-range levels."""
    photograph = (data.astronaut() // 2 + 60).astype(np.uint8)
    return np.stack([photograph[40 + i : 136 + i, 160 + 3 * i : 256 + 3 * i] for i in range(6)])


@functools.cache
def real() -> np.ndarray:
    return np.stack(list(load("1").frames(range(40, 47), size=96)))


def alternating(frames: np.ndarray, levels: int) -> np.ndarray:
    """Brighter and darker by that much, in turns."""
    signs = np.where(np.arange(len(frames)) % 2, 1, -1)[:, None, None, None]
    return (frames.astype(int) + levels * signs).astype(np.uint8)


def test_known_translation_leaves_next_to_no_warping_error() -> None:
    frames = panning()
    table = score(frames, frames, metrics=METRICS)
    assert table.iloc[0].isna().all()
    still = np.square(np.diff(frames.astype(float) / 255, axis=0)).sum(axis=-1).mean(axis=(1, 2))
    assert (table["warping_error"][1:].to_numpy() < still / 50).all()
    assert (table["flicker"][1:] == 0.0).all()


def test_flow_of_a_known_translation_is_the_translation() -> None:
    motion = _motions(Batch(panning()[:2]))[1]
    assert motion is not None
    columns, rows = np.meshgrid(np.arange(96), np.arange(96))
    assert np.median(motion.columns - columns) == pytest.approx(3.0, abs=0.1)
    assert np.median(motion.rows - rows) == pytest.approx(1.0, abs=0.1)
    # What came into view at the right was not there before.
    assert motion.visible[:, 94:].sum() == 0 and motion.visible[:90, :90].mean() > 0.9


@pytest.mark.parametrize("levels", [2, 5, 12])
def test_flicker_of_alternating_brightness_is_twice_its_size(levels: int) -> None:
    scores = score(alternating(panning(), levels), panning(), metrics=METRICS)
    np.testing.assert_allclose(scores["flicker"][1:], 2 * levels, rtol=1e-4)
    still = np.repeat(panning()[:1], 4, axis=0)
    scores = score(alternating(still, levels), still, metrics=METRICS)
    np.testing.assert_allclose(scores["warping_error"][1:], 3 * (2 * levels / 255) ** 2, rtol=1e-5)


def test_error_that_sticks_to_the_surface_does_not_flicker() -> None:
    frames = panning()
    brighter = score(frames + np.uint8(25), frames, metrics=METRICS)
    np.testing.assert_allclose(brighter["flicker"][1:], 0.0, atol=1e-3)
    # A stain that stays in the picture while the surface moves does.
    stained = frames.copy()
    stained[:, 30:60:4, 30:60] += np.uint8(40)
    assert (score(stained, frames, metrics=METRICS)["flicker"][1:] > 2.0).all()


def test_uncovered_ground_does_not_count() -> None:
    """A portrait slides by 14 px over a photograph: what it uncovers was not there before."""
    frames = np.stack([data.chelsea()[:192, :192]] * 2)
    card = data.astronaut()[60:156, 180:276]
    frames[0, 48:144, 30:126] = card
    frames[1, 48:144, 44:140] = card
    motion = _motions(Batch(frames))[1]
    assert motion is not None
    assert motion.visible[52:140, 31:43].mean() < 0.1
    assert motion.visible[52:140, 60:120].mean() > 0.95 and motion.visible[:40].mean() > 0.85
    unmasked = np.square(np.diff(frames / 255.0, axis=0)).sum(axis=-1).mean()
    assert WarpingError().score(frames, None)[1] < unmasked / 50


def test_real_video_flickers_more_the_more_noise_it_has() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=real().shape)
    means = []
    for strength in (0, 2, 5, 10):
        noisy = np.clip(real() + strength * noise, 0, 255).round().astype(np.uint8)
        means.append(score(noisy, real(), metrics=METRICS).mean().to_numpy())
    assert (np.diff(np.array(means), axis=0) > 0).all()
    assert means[0][1] == 0.0


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 7))
def test_scores_do_not_depend_on_the_batches(size: int) -> None:
    frames = alternating(real(), 4)
    whole = score(frames, real(), metrics=METRICS, batch=len(frames))
    np.testing.assert_array_equal(whole, score(frames, real(), metrics=METRICS, batch=size))


def test_flow_is_the_references_and_the_record_says_so() -> None:
    scorer = Scorer(("warping_error",))
    scorer.add(real())
    own = scorer.table()
    assert own.attrs["records"]["warping_error"]["backend"]["detail"].endswith("flow of the frames")
    same = score(real(), real(), metrics=("warping_error",))
    np.testing.assert_array_equal(own, same)
    assert same.attrs["records"]["warping_error"]["backend"]["detail"].endswith("flow of the reference")


def test_the_own_warping_error_does_not_see_the_reference() -> None:
    """A reference that shows something else, such as a driver, changes nothing, in any batches."""
    frames = alternating(panning(), 5)
    expected = score(frames, metrics=("warping_error",))["warping_error"].to_numpy()
    scorer = Scorer(("warping_error_own",))
    for start in (0, 2, 5):
        rows = slice(start, {0: 2, 2: 5, 5: 6}[start])
        scorer.add(frames[rows], panning()[::-1][rows])
    np.testing.assert_array_equal(scorer.table()["warping_error_own"].to_numpy(), expected)
    (record,) = scorer.records()
    assert record.conditions == {"flow": "of the frames"} and record.reference_sha256 is None


def test_region_counts_its_own_pixels_alone() -> None:
    frames = panning().copy()
    flickering = alternating(frames, 6)
    frames[:, :, 48:] = flickering[:, :, 48:]
    left = np.zeros(frames.shape[:3], bool)
    left[:, :, :40] = True
    right = np.zeros_like(left)
    right[:, :, 56:] = True
    metric = Flicker()
    np.testing.assert_allclose(metric.score_batch(Batch(frames, panning(), region=left))[1:], 0.0, atol=1e-6)
    np.testing.assert_allclose(metric.score_batch(Batch(frames, panning(), region=right))[1:], 12.0, rtol=1e-4)
    assert np.isnan(metric.score_batch(Batch(frames, panning(), region=left & right))).all()


def test_frames_that_flow_cannot_be_found_in_are_undefined() -> None:
    tiny = real()[:, :8, :8]
    assert np.isnan(score(tiny, tiny, metrics=METRICS)).all(axis=None)
