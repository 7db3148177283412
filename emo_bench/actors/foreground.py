"""The person's mask in a real video: colours separate hair and clothes from the background near the rig's outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emo_bench.actors.track import Track
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.tracking.silhouette import silhouette

# How far the person may extend beyond the rig's outline, as shares of the mask's width.
CERTAIN_INSIDE, MAYBE_CLOTHES, MAYBE_HAIR, CERTAIN_OUTSIDE = 0.03, 0.08, 0.10, 0.22
# Pixels this far inside the rig's torso are certainly clothes; their colours are learned.
CERTAIN_CLOTHES = 0.05
LEARNING_ROUNDS = 4


class ForegroundCutter:
    """GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) over the frames of one video.

    The colours of person and background are learned once, from frames of the whole video: a part that is hardly visible
    in one frame (the upper edge of a pullover) is visible in another.

    Args:
        frames_u8: some frames ``[S, S, 3]`` uint8 RGB.
        surfaces: the rig's masks ``[S, S]`` bool in them.
        chins_y: px, height of the chin in each frame; below it the person may extend far beyond the rig.
    """

    def __init__(
        self, frames_u8: Sequence[np.ndarray], surfaces: Sequence[np.ndarray], chins_y: Sequence[float]
    ) -> None:
        from emo_bench.system import opencv as cv2

        self._background = np.zeros((1, 65))
        self._person = np.zeros((1, 65))
        mosaic = np.ascontiguousarray(np.concatenate(frames_u8))
        seen = zip(surfaces, chins_y, strict=True)
        labels = np.concatenate([_trimap(surface, chin_y, CERTAIN_CLOTHES) for surface, chin_y in seen])
        bare: Any = None
        cv2.grabCut(mosaic, labels, bare, self._background, self._person, LEARNING_ROUNDS, cv2.GC_INIT_WITH_MASK)

    def cut(self, frame_u8: np.ndarray, surface: np.ndarray, chin_y: float) -> np.ndarray:
        """Compute the mask ``[S, S]`` bool of a frame ``[S, S, 3]`` uint8 RGB from the rig's mask ``[S, S]`` bool."""
        from emo_bench.system import opencv as cv2

        # The rig's shoulders may be too high here, as in a shrug, so only the colours decide.
        guess = _trimap(surface, chin_y, certain_clothes=np.inf)
        certain = guess == cv2.GC_FGD
        bare: Any = None
        cv2.grabCut(frame_u8, guess, bare, self._background, self._person, 1, cv2.GC_EVAL_FREEZE_MODEL)
        mask = (guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)
        mask[certain] = True
        return _largest_part(mask)


def rig_silhouette(track: Track, i: int, size_px: int) -> np.ndarray:
    """Return the rig's mask ``[S, S]`` bool in frame ``i``, much faster than a UV map and one or two pixels wider."""
    vertices = track.vertices(i)
    points = np.concatenate((vertices, vertices[load_head_rig().faces].mean(axis=1)))
    scale = size_px / track.size_px
    pixels = points[:, :2] / points[:, 2:] * (track.focal_px * scale) + np.array(track.center_px) * scale
    return silhouette(pixels, size_px)


def _trimap(surface: np.ndarray, chin_y: float, certain_clothes: float) -> np.ndarray:
    """Compute GrabCut's four labels from the rig's mask.

    The columns below the rig's lower edge and the pixels next to its shoulders are labelled as probably person. If
    clothes were labelled as background, both colour models would learn them wrongly.
    """
    from emo_bench.system import opencv as cv2

    side = len(surface)
    inside = surface.astype(np.uint8)
    columns = np.cumsum(inside, axis=0) > 0
    below = columns & ~surface & (np.arange(side)[:, None] > side // 2)
    body = (inside | below).astype(np.uint8)
    away = cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) / side
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / side
    labels = np.full(surface.shape, cv2.GC_PR_BGD, dtype=np.uint8)
    labels[away > CERTAIN_OUTSIDE] = cv2.GC_BGD
    labels[away < MAYBE_HAIR] = cv2.GC_PR_BGD
    below_chin = np.arange(side)[:, None] > chin_y
    labels[(away < MAYBE_CLOTHES) & below_chin] = cv2.GC_PR_FGD
    labels[body > 0] = cv2.GC_PR_FGD
    labels[(depth > CERTAIN_INSIDE) & ~below_chin] = cv2.GC_FGD
    labels[(depth > certain_clothes) & below_chin] = cv2.GC_FGD
    return labels


def _largest_part(mask: np.ndarray) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()))
