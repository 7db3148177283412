"""Outlines of dense point clouds, for uses where computing a UV map would be too slow."""

from __future__ import annotations

import numpy as np

# Maximum distance between neighbouring surface points, as a share of the picture.
CLOSING = 0.09


def silhouette(points_px: np.ndarray, size_px: int) -> np.ndarray:
    """Fill the outline of a dense cloud of surface points ``[N, 2]`` px without casting rays: ``[S, S]`` bool."""
    from emo_bench.system import opencv as cv2

    mask = np.zeros((size_px, size_px), dtype=np.uint8)
    pixel = np.floor(points_px).astype(int)
    inside = ((pixel >= 0) & (pixel < size_px)).all(axis=1)
    mask[pixel[inside, 1], pixel[inside, 0]] = 1
    reach = max(3, round(size_px * CLOSING) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel) > 0)
