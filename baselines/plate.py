"""The clean plate: the background behind the person, from training frames only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.methods.training.frames import evenly_spaced, median_background

# The edge of a network's mask is slightly inside or outside the hair.
MASK_MARGIN_PX = 2


def clean_plate(capture: Capture, train: Sequence[int], size_px: int, samples: int) -> np.ndarray:
    """Return the median of the pixels outside the person's mask over evenly spaced training frames.

    A pixel that the person always covers gets the value of the nearest known one.

    Args:
        capture: a capture in which at least ``train`` is readable; no other frame's mask is read.
        train: the training frames.
        size_px: side of the plate.
        samples: number of frames that are read.

    Returns:
        ``[S, S, 3]`` float32 in [0, 1].
    """
    from scipy import ndimage

    chosen = evenly_spaced(train, samples)
    pictures = np.stack([frame.astype(np.float32) / 255.0 for frame in capture.frames(chosen, size=size_px)])
    masks = np.stack([capture.track.foreground(int(i), size_px) for i in chosen])
    grown = ndimage.binary_dilation(masks, np.ones((1, 3, 3), dtype=bool), iterations=MASK_MARGIN_PX)
    return median_background(pictures, grown, unknown=0.5)
