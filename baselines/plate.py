"""The clean plate: the picture behind the person, from training frames alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_bench.actors.capture import Capture
from emo_bench.methods.training.frames import evenly_spaced, median_background

# A mask made by a network ends a little inside or outside the hair.
MASK_MARGIN_PX = 2


def clean_plate(capture: Capture, train: Sequence[int], size_px: int, samples: int) -> np.ndarray:
    """Median of the pixels outside the person's mask over evenly spaced training frames.

    A pixel that the person always covers takes the value of the nearest known one.

    Args:
        capture: in which at least ``train`` is readable; the masks of no other frame are looked at.
        train: the training frames.
        size_px: side of the plate.
        samples: how many frames to look at.

    Returns:
        ``[S, S, 3]`` float32 in [0, 1].
    """
    from scipy import ndimage

    chosen = evenly_spaced(train, samples)
    pictures = np.stack([frame.astype(np.float32) / 255.0 for frame in capture.frames(chosen, size=size_px)])
    masks = np.stack([capture.track.foreground(int(i), size_px) for i in chosen])
    grown = ndimage.binary_dilation(masks, np.ones((1, 3, 3), dtype=bool), iterations=MASK_MARGIN_PX)
    return median_background(pictures, grown, unknown=0.5)
