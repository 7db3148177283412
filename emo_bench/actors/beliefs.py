"""In which frames the cut-out of the person is believed, and what the user should know about the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emo_bench.actors.foreground import BELIEVED, Cut
from emo_bench.text.ranges import ranges

# Shoulders do not come and go: a mask that covers so much less or more below the chin than the masks of the seconds
# around it, as shares of these, is not believed. A shrug covers more.
AROUND_S, MOST_LESS, MOST_MORE = 2.0, 0.12, 0.25


@dataclass(frozen=True)
class Beliefs:
    """The belief in the masks of T frames above the ears and below the chin, and what they cover below the chin.

    Attributes:
        hair, shoulders, torso: ``[T]`` float32, as in :class:`Cut`; NaN without a mask.
        fps: frame rate.
    """

    hair: np.ndarray
    shoulders: np.ndarray
    torso: np.ndarray
    fps: float

    @classmethod
    def none(cls, frames: int, fps: float) -> Beliefs:
        """Return the beliefs before any frame is cut."""
        hair, shoulders, torso = np.full((3, frames), np.nan, dtype=np.float32)
        return cls(hair, shoulders, torso, fps)

    def keep(self, number: int, cut: Cut) -> None:
        """Record the belief in the cut of a frame."""
        self.hair[number], self.shoulders[number], self.torso[number] = cut.hair, cut.shoulders, cut.torso

    def believed_hair(self) -> np.ndarray:
        """Return the frames whose mask is believed above the ears, ``[T]`` bool."""
        return self.hair >= BELIEVED

    def believed_shoulders(self) -> np.ndarray:
        """Return the frames whose mask is believed below the chin, ``[T]`` bool: it must also last."""
        from scipy.ndimage import median_filter

        believed = self.shoulders >= BELIEVED
        rows = np.flatnonzero(believed)
        if len(rows):
            around = 2 * round(AROUND_S * self.fps) + 1
            usual = median_filter(self.torso[rows], size=min(around, len(rows)), mode="reflect")
            change = self.torso[rows] - usual
            believed[rows] = (change >= -MOST_LESS * usual) & (change <= MOST_MORE * usual)
        return believed

    def notes(self) -> Iterator[str]:
        """Say in which frames with a mask it is not believed."""
        cut = np.isfinite(self.hair)
        for part, believed, instead in (
            ("above the ears", self.believed_hair(), "look at the hair on the contact sheet"),
            ("below the chin", self.believed_shoulders(), "the shoulders there follow the frames around them"),
        ):
            doubted = np.flatnonzero(cut & ~believed)
            if len(doubted):
                yield (
                    f"the cut-out of the person is not believed {part} in {len(doubted)} of {cut.sum()} frames "
                    f"({ranges(doubted.tolist())}): {instead}"
                )
