"""Clothes found by their colours, for pictures in which the network sees a head without shoulders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emo_bench.actors.foreground import REACH, Place

# Shares of the mask's width: how far clothes may extend beyond the rig, and how deep inside it they are certain. The
# colours of what is certain are learned.
MAYBE_CLOTHES, CERTAIN_CLOTHES = 0.08, 0.05
# Above the chin, the network's shares beyond these are taken as they are.
PERSON, BACKGROUND = 0.9, 0.1
LEARNING_ROUNDS = 4
# An edge between colours is softened by so many pixels.
SOFT_PX = 0.7


class TorsoColours:
    """GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) below the chin, over the frames of one video.

    The colours of person and background are learned once, from frames of the whole video: a part that is hardly visible
    in one frame (the upper edge of a pullover) is visible in another. Nothing is learned before it is needed.

    Args:
        samples: frames ``[H, H, 3]`` uint8 RGB, the network's shares ``[S, S]``, and where the head is.
    """

    def __init__(self, samples: Sequence[tuple[np.ndarray, np.ndarray, Place]]) -> None:
        self._samples = tuple(samples)
        self._background: Any = None
        self._person: Any = None

    def with_torso(self, picture_u8: np.ndarray, shares: np.ndarray, place: Place) -> np.ndarray:
        """Return the shares ``[S, S]`` with what has the colours of the clothes below the chin."""
        from emo_bench.system import opencv as cv2

        if self._person is None:
            self._learn()
        # The rig's shoulders may be too high here, as in a shrug, so only the colours decide.
        labels = _labels(shares, place, certain_clothes=np.inf)
        bare: Any = None
        picture = _small(picture_u8, len(shares))
        cv2.grabCut(picture, labels, bare, self._background, self._person, 1, cv2.GC_EVAL_FREEZE_MODEL)
        mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
        soft = cv2.GaussianBlur(mask, (0, 0), SOFT_PX)
        return np.where(place.below_chin, np.maximum(shares, soft), shares).astype(np.float32)

    def _learn(self) -> None:
        from emo_bench.system import opencv as cv2

        self._background, self._person = np.zeros((1, 65)), np.zeros((1, 65))
        mosaic = np.concatenate([_small(picture, len(shares)) for picture, shares, _ in self._samples])
        labels = np.concatenate([_labels(shares, place, CERTAIN_CLOTHES) for _, shares, place in self._samples])
        self._samples = ()
        bare: Any = None
        cv2.grabCut(mosaic, labels, bare, self._background, self._person, LEARNING_ROUNDS, cv2.GC_INIT_WITH_MASK)


def _labels(shares: np.ndarray, place: Place, certain_clothes: float) -> np.ndarray:
    """Compute GrabCut's four labels: the network's above the chin, the rig's below it.

    The columns below the rig's lower edge and the pixels next to its shoulders are labelled as probably person. If
    clothes were labelled as background, both colour models would learn them wrongly.
    """
    from emo_bench.system import opencv as cv2

    below = place.below_chin
    labels = np.where(shares >= 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[place.body | ((place.away < MAYBE_CLOTHES) & below)] = cv2.GC_PR_FGD
    labels[~below & (shares < BACKGROUND)] = cv2.GC_BGD
    labels[place.away > REACH] = cv2.GC_BGD
    labels[shares > PERSON] = cv2.GC_FGD
    labels[place.certain | ((place.depth > certain_clothes) & below)] = cv2.GC_FGD
    return labels


def _small(picture_u8: np.ndarray, side: int) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    return np.ascontiguousarray(cv2.resize(picture_u8, (side, side), interpolation=cv2.INTER_AREA))
