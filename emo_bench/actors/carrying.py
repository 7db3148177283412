"""The person in every frame of a video: the network looks at key frames, and optical flow carries what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emo_bench.actors.foreground import Cut, Place, judged
from emo_bench.actors.person_cutter import PersonCutter

KEY_EVERY = 8
# A pixel whose colour differs by so many levels from the one that the flow brings to it counts little.
COLOUR_LEVELS = 12.0
LEAST_WEIGHT = 1e-3
# Two key frames that disagree over this share of the person leave no belief in the frames between them.
MOST_DISAGREEMENT = 0.2


@dataclass(frozen=True)
class _Seen:
    """A frame that waits for the next key frame: its picture ``[H, H, 3]`` and brightness ``[S, S]``, uint8."""

    number: int
    picture_u8: np.ndarray
    grey_u8: np.ndarray
    place: Place


@dataclass(frozen=True)
class _Key:
    """A frame at which the network looked; ``found``: its shares ``[S, S]``, float32."""

    seen: _Seen
    found: np.ndarray


class CarriedCuts:
    """Cuts the person out of consecutive frames; results come as soon as the next key frame is known.

    Each frame between two key frames gets the masks of both, moved by dense optical flow (DIS, Kroeger et al., ECCV
    2016) and weighted by their distance in time and by how well the moved colours agree. So a mask changes smoothly,
    and where a new shot begins, the key frame of the other shot counts for nothing.
    """

    def __init__(self, cutter: PersonCutter) -> None:
        from emo_bench.system import opencv as cv2

        self._cutter = cutter
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._key: _Key | None = None
        self._waiting: list[_Seen] = []

    def add(self, number: int, picture_u8: np.ndarray, place: Place | None) -> Iterator[tuple[int, Cut]]:
        """Take the next frame ``[H, H, 3]`` uint8 RGB, with None where no head was tracked, and yield finished cuts."""
        if place is None:
            yield from self.finish()
            return
        self._waiting.append(_Seen(number, picture_u8, _grey(picture_u8, len(place.surface)), place))
        if self._key is None or len(self._waiting) == KEY_EVERY:
            yield from self._to_last()

    def finish(self) -> Iterator[tuple[int, Cut]]:
        """Yield the cuts of the frames that still wait; the next frame begins anew."""
        yield from self._to_last()
        self._key = None

    def _to_last(self) -> Iterator[tuple[int, Cut]]:
        """Make the last waiting frame a key frame, and yield the cuts up to it."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        before, last = self._key, waiting[-1]
        self._key = _Key(last, self._cutter.found(last.picture_u8, last.place))
        for seen in waiting[:-1]:
            assert before is not None
            yield seen.number, self._between(before, self._key, seen)
        yield last.number, judged(self._key.found, last.place)

    def _between(self, before: _Key, after: _Key, seen: _Seen) -> Cut:
        span = after.seen.number - before.seen.number
        first, first_weight = self._moved(before, seen)
        second, second_weight = self._moved(after, seen)
        first_weight *= (after.seen.number - seen.number) / span
        second_weight *= (seen.number - before.seen.number) / span
        found = (first * first_weight + second * second_weight) / (first_weight + second_weight)
        cut = judged(found, seen.place)
        # Only where both are trusted can they disagree.
        trusted = np.minimum(first_weight, second_weight) / np.maximum(first_weight, second_weight)
        off = np.abs(first - second) * trusted
        hair = _agreement(off, found, seen.place.above_ears)
        shoulders = _agreement(off, found, seen.place.below_chin)
        return replace(cut, hair=cut.hair * hair, shoulders=cut.shoulders * shoulders)

    def _moved(self, key: _Key, seen: _Seen) -> tuple[np.ndarray, np.ndarray]:
        """Return a key frame's shares moved to another frame, and how far the moved colours agree, ``[S, S]``."""
        from emo_bench.system import opencv as cv2

        bare: Any = None
        flow = self._flow.calc(seen.grey_u8, key.seen.grey_u8, bare)
        side = len(flow)
        x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
        places = x + flow[..., 0], y + flow[..., 1]
        shares = cv2.remap(key.found, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        grey = cv2.remap(key.seen.grey_u8, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        off = cv2.blur(cv2.absdiff(grey, seen.grey_u8).astype(np.float32), (5, 5))
        weight = np.exp(-((off / COLOUR_LEVELS) ** 2)) + LEAST_WEIGHT
        return np.asarray(shares), np.asarray(weight, dtype=np.float32)


def _grey(picture_u8: np.ndarray, side: int) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    grey = cv2.cvtColor(picture_u8, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA))


def _agreement(off: np.ndarray, found: np.ndarray, part: np.ndarray) -> float:
    share = float((off * part).sum()) / max(float((found * part).sum()), 1.0)
    return float(np.clip(1.0 - share / MOST_DISAGREEMENT, 0.0, 1.0))
