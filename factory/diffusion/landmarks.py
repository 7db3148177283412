"""How far landmarks move from pictures to their edits; those of the sources are found once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from emo_bench.tracking.landmarks import Landmarker

LANDMARK_PX = 256

Pictures = NDArray[np.uint8]
Points = NDArray[np.float64]
Finder = Callable[[Pictures], Points | None]
"""From a picture uint8 ``[S, S, 3]`` to its landmarks ``[L, 2]`` in px at :data:`LANDMARK_PX`; None without a face."""


def landmark_finder(landmarker: Landmarker) -> Finder:
    """Return what finds the 68 landmarks of a picture by MediaPipe."""

    def found(picture: Pictures) -> Points | None:
        from PIL import Image

        large = np.asarray(Image.fromarray(picture).resize((LANDMARK_PX,) * 2, Image.Resampling.BICUBIC))
        face = landmarker.detect(large)
        return None if face is None else np.asarray(face.landmarks68, dtype=np.float64)

    return found


def distances_px(find: Finder, before: Sequence[Points | None], made: Pictures) -> list[float]:
    """Return the mean distance of each edit's landmarks to its source's, in px; pairs with one face alone are left out.

    Args:
        find: finds landmarks.
        before: landmarks of the sources.
        made: the edits, uint8 ``[N, S, S, 3]``.
    """
    distances = []
    for one, other in zip(before, map(find, made), strict=True):
        if one is not None and other is not None:
            distances.append(float(np.linalg.norm(one - other, axis=1).mean()))
    return distances


def mean_distance_px(find: Finder, before: Sequence[Points | None], made: Pictures) -> float:
    """Return the mean of :func:`distances_px`; NaN without a pair."""
    found = distances_px(find, before, made)
    return float(np.mean(found)) if found else float("nan")
