"""The person in one picture of a real video: a network's soft mask, corrected by the tracked head, and its belief."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emo_bench.actors.track import Track
from emo_bench.tracking.head_rig import load_head_rig
from emo_bench.tracking.silhouette import silhouette

# Shares of the mask's width. Above the chin, what lies this deep inside the rig is certainly the person.
CERTAIN_INSIDE, DEEP_INSIDE = 0.03, 0.1
# No part of the person is further from the rig than this, hardly any hair further than HAIR_REACH, and what reaches the
# upper edge of the picture is background that runs on, if the rig ends this far below it.
REACH, HAIR_REACH, HEADROOM = 0.22, 0.16, 0.04
# Below the chin, what lies this deep inside the rig is clothes, if an edge of the person lies above it.
CERTAIN_CLOTHES = 0.03
# Below the chin, a mask is judged by what lies this deep inside the rig: the rig's shoulders may be too high.
CORE = 0.08
# The belief falls from 1 to 0 between these: the mean share of what is certainly the person; the area outside the
# person's reach, and the undecided area, both in areas of that.
SEEN, STRAY, VAGUE = (0.9, 0.5), (0.05, 0.25), (0.4, 1.0)
# Parts whose share is at least this belong together if they touch.
FAINT = 0.15
# A mask is believed if its belief is at least this.
BELIEVED = 0.5


@dataclass(frozen=True, eq=False)
class Place:
    """Where the tracked head is in a picture of S px.

    Attributes:
        surface: the rig's mask, ``[S, S]`` bool.
        chin_y, ears_y: px.
    """

    surface: np.ndarray
    chin_y: float
    ears_y: float

    @cached_property
    def depth(self) -> np.ndarray:
        """How deep each pixel lies inside the rig, as a share of S; 0 outside."""
        return _distance(self.surface)

    @cached_property
    def body(self) -> np.ndarray:
        """The rig, and in the lower half of the picture what lies below it: clothes may hang there."""
        lower = np.arange(len(self.surface))[:, None] > len(self.surface) // 2
        return self.surface | ((np.cumsum(self.surface, axis=0) > 0) & lower)

    @cached_property
    def away(self) -> np.ndarray:
        """How far each pixel is from :attr:`body`, as a share of S."""
        return _distance(~self.body)

    @property
    def above_ears(self) -> np.ndarray:
        """The rows above the ears, ``[S, 1]`` bool."""
        return np.arange(len(self.surface))[:, None] < self.ears_y

    @property
    def below_chin(self) -> np.ndarray:
        """The rows below the chin, ``[S, 1]`` bool."""
        return np.arange(len(self.surface))[:, None] > self.chin_y

    @property
    def certain(self) -> np.ndarray:
        """What is certainly the person: the inside of the head."""
        return (self.depth > CERTAIN_INSIDE) & ~self.below_chin


@dataclass(frozen=True)
class Cut:
    """The person in one frame.

    Attributes:
        shares: how much of each pixel the person covers, ``[S, S]`` float32 in [0, 1].
        hair, shoulders: how far the mask is believed above the ears and below the chin, in [0, 1].
        torso: the area that the person covers below the chin, in areas of the rig there.
    """

    shares: np.ndarray
    hair: float
    shoulders: float
    torso: float = 0.0

    @property
    def mask(self) -> np.ndarray:
        """The pixels of which the person covers at least half, ``[S, S]`` bool."""
        return self.shares >= 0.5


def rig_silhouette(track: Track, i: int, size_px: int) -> np.ndarray:
    """Return the rig's mask ``[S, S]`` bool in frame ``i``, much faster than a UV map and one or two pixels wider."""
    vertices = track.vertices(i)
    points = np.concatenate((vertices, vertices[load_head_rig().faces].mean(axis=1)))
    scale = size_px / track.size_px
    pixels = points[:, :2] / points[:, 2:] * (track.focal_px * scale) + np.array(track.center_px) * scale
    return silhouette(pixels, size_px)


def judged(found: np.ndarray, place: Place) -> Cut:
    """Correct found shares ``[S, S]`` by the tracked head, and judge them as they were found."""
    shares = np.where(place.away > REACH, 0.0, found).astype(np.float32)
    # Near its edge, the rig may be wider than the person.
    shares[place.certain & ((found > FAINT) | (place.depth > DEEP_INSIDE))] = 1.0
    shares = _connected(shares, place.certain)
    shares = _filled_below(shares, (place.depth > CERTAIN_CLOTHES) & place.below_chin, place.chin_y)
    runs_on = (found[0] >= 0.5) & (place.away > HEADROOM)
    hair = _belief(found, place.certain, place.above_ears, runs_on | (place.away > HAIR_REACH))
    shoulders = _belief(found, place.depth > CORE, place.below_chin, place.away > REACH)
    torso = float((shares * place.below_chin).sum()) / max(float((place.body & place.below_chin).sum()), 1.0)
    return Cut(shares, hair, shoulders, torso)


def _distance(mask: np.ndarray) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) / len(mask))


def _connected(shares: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """Keep only what touches the head, also faintly; without a head, the largest part."""
    from emo_bench.system import opencv as cv2

    count, parts, statistics, _ = cv2.connectedComponentsWithStats((shares > FAINT).astype(np.uint8), connectivity=4)
    if count < 2:
        return shares
    kept = np.unique(parts[certain]) if certain.any() else np.array([1 + statistics[1:, cv2.CC_STAT_AREA].argmax()])
    return np.where(np.isin(parts, kept[kept > 0]), shares, 0.0).astype(np.float32)


def _filled_below(shares: np.ndarray, clothes: np.ndarray, chin_y: float) -> np.ndarray:
    """Fill clothes that the network sees as half transparent: below the person's edge, the torso has no hole.

    Shoulders of the rig that are too high add nothing, because each column is filled only below its own edge.
    """
    start = int(np.clip(np.floor(chin_y), 0, len(shares) - 1))
    filled = shares.copy()
    filled[start:] = np.maximum.accumulate(shares[start:], axis=0)
    return np.where(clothes, filled, shares)


def _belief(found: np.ndarray, person: np.ndarray, part: np.ndarray, outside: np.ndarray) -> float:
    """Judge a network's shares in one part of the picture, in [0, 1]; 0 if the rig shows nothing of it."""
    certain = person & part
    area = float(certain.sum())
    if area == 0.0:
        return 0.0
    seen = float(found[certain].mean())
    stray = float(found[part & outside].sum()) / area
    vague = float((4.0 * found * (1.0 - found))[part & ~outside].sum()) / area
    judgements = ((seen, SEEN), (stray, STRAY), (vague, VAGUE))
    return float(np.prod([np.clip((value - bad) / (good - bad), 0.0, 1.0) for value, (good, bad) in judgements]))
