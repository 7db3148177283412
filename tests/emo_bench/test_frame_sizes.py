"""Frames brought to another side."""

from __future__ import annotations

import numpy as np
from skimage import data
from skimage.transform import downscale_local_mean

from emo_bench.methods.frame_sizes import resized_frames


def face() -> np.ndarray:
    return np.asarray(data.astronaut()[0:200, 120:320])[None]


def test_larger_frames_are_averaged() -> None:
    # PIL rounds after each direction.
    expected = downscale_local_mean(face()[0].astype(float), (4, 4, 1))
    assert np.abs(resized_frames(face(), 50)[0] - expected).max() <= 1


def test_smaller_frames_are_smooth_and_keep_their_mean() -> None:
    small = resized_frames(face(), 50)
    large = resized_frames(small, 200)
    assert large.shape == (1, 200, 200, 3) and large.dtype == np.uint8
    assert abs(float(large.mean()) - float(small.mean())) < 0.5
    # Nearest neighbours would repeat each pixel four times.
    assert np.abs(np.diff(large[0].astype(int), axis=1)).max() < np.abs(np.diff(small[0].astype(int), axis=1)).max()


def test_frames_of_that_side_are_unchanged() -> None:
    assert np.array_equal(resized_frames(face(), 200), face())
