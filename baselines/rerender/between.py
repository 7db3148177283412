"""Frames between two key frames: patches of both key frames, moved as the recorded frames move, and blended.

The paper gives this to EbSynth, which is not used here. This is a small substitute with the same guides. For
each pixel of a frame, the flow says which place of the key frame it shows. PatchMatch (Barnes et al. 2009) tries places
near it and takes the one whose patch agrees best in the guides. Then each pixel of the edited frame is the mean of what
the patches around it want there. This is done from both key frames, and the results are mixed by confidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.rerender.flow import Field, FlowFinder, Frame, Motion, find_motion, sampled
from emo_bench.system import opencv as cv2

# Half the side of a patch: patches are 5x5.
REACH = 2
# The weights of EbSynth's guides in Rerender-A-Video: recorded colours, their edges, the frame before, the position.
COLOUR, EDGE, TEMPORAL, POSITION = 6.0, 0.5, 0.5, 2.0
# A difference of colours, as a share of the range, at which the confidence has fallen to 1/e.
TOLERANCE = 0.05
# The confidence of what the key frame does not show, so that it counts where the other one does not show it either.
LEAST_CONFIDENCE = 1e-3
# The first random places of PatchMatch are at most so far away, as a share of the frame's side.
RADIUS = 1 / 32


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two key frames: as recorded and as edited, ``uint8 [S, S, 3]``."""

    recorded: Frame
    edited: Frame


@dataclass(frozen=True, eq=False)
class _Moved:
    """What one key frame gives for a frame: float32 ``[S, S, 3]`` from 0 to 255, and its confidence ``[S, S]``."""

    picture: Field
    confidence: Field


def frames_between(
    recorded: NDArray[np.uint8], past: Side, future: Side, finder: FlowFinder, rounds: int, seed: int
) -> Iterator[Frame]:
    """Yield the edited frames between two key frames, ``uint8 [S, S, 3]``.

    Args:
        recorded: the frames between the two, in order, ``uint8 [N, S, S, 3]``.
        past, future: the key frame before the first one, and that after the last one.
        finder: finds the flow between recorded frames.
        rounds: rounds of PatchMatch; with 0 the flow alone decides.
        seed: seed of the places that are tried.
    """
    onwards = _moved(recorded, past, finder, rounds, seed)
    backwards = _moved(recorded[::-1], future, finder, rounds, seed)[::-1]
    for number, (left, right) in enumerate(zip(onwards, backwards, strict=True), start=1):
        near = number / (len(recorded) + 1)
        weights = [(1 - near) * left.confidence, near * right.confidence]
        share = (weights[1] / (weights[0] + weights[1]))[..., None]
        picture = left.picture + share * (right.picture - left.picture)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _moved(recorded: NDArray[np.uint8], key: Side, finder: FlowFinder, rounds: int, seed: int) -> list[_Moved]:
    """Return what a key frame gives for each frame, the nearest one first."""
    before, picture, found = key.recorded, np.asarray(key.edited, dtype=np.float32), []
    for number, frame in enumerate(recorded):
        motion = find_motion(finder, frame, key.recorded)
        temporal = find_motion(finder, frame, before).warped(picture)
        match = _Match(frame, key, motion, temporal)
        rng = np.random.default_rng((seed, number))
        for _ in range(rounds):
            match.improve(rng)
        picture = match.voted()
        found.append(_Moved(picture, match.confidence()))
        before = frame
    return found


class _Match:
    """For each pixel of a frame the displacement to its place in the key frame, and how badly the patches agree."""

    def __init__(self, frame: Frame, key: Side, motion: Motion, temporal: Field) -> None:
        self.key, self.motion, self.displacement = key, motion, motion.flow.copy()
        self.wanted = _guides(frame, temporal)
        self.offered = _guides(key.recorded, np.asarray(key.edited, dtype=np.float32))
        self.rows, self.columns = np.indices(frame.shape[:2], dtype=np.float32)
        self.error = self._errors(self.displacement)

    def improve(self, rng: np.random.Generator) -> None:
        """Try the displacements of the four neighbours, then random ones that come closer and closer."""
        for axis, step in ((0, 1), (1, 1), (0, -1), (1, -1)):
            self._try(np.roll(self.displacement, step, axis))
        radius = self.error.shape[0] * RADIUS
        while radius >= 0.5:
            jump = rng.uniform(-radius, radius, self.displacement.shape).astype(np.float32)
            self._try(self.displacement + jump)
            radius /= 2

    def voted(self) -> Field:
        """Return for each pixel the mean of the colours that the patches around it want there, the better ones more."""
        total, weights = np.zeros((*self.error.shape, 3), np.float32), np.zeros_like(self.error)
        sure = self._sure() + np.float32(LEAST_CONFIDENCE)
        for rows, columns in _offsets():
            # The patch whose centre is away by the offset puts its own place for this pixel.
            x, y = (
                at + _shifted(self.displacement[..., axis], rows, columns)
                for axis, at in enumerate((self.columns, self.rows))
            )
            weight = _shifted(sure, rows, columns)
            total += weight[..., None] * sampled(self.key.edited, x, y)
            weights += weight
        return np.asarray(total / weights[..., None], dtype=np.float32)

    def confidence(self) -> Field:
        """Return from 0 to 1 how far the patches can be trusted."""
        smooth = cv2.GaussianBlur(self._sure() * self.motion.visible, (0, 0), 1.0)
        return np.asarray(np.maximum(smooth, LEAST_CONFIDENCE), dtype=np.float32)

    def _sure(self) -> Field:
        return np.asarray(np.exp(-self.error / (COLOUR * TOLERANCE**2)), dtype=np.float32)

    def _try(self, displacement: Field) -> None:
        error = self._errors(displacement)
        better = error < self.error
        self.displacement[better], self.error[better] = displacement[better], error[better]

    def _errors(self, displacement: Field) -> Field:
        """Return the mean squared difference of the guides between the patches, float32 ``[S, S]``."""
        total = np.zeros(displacement.shape[:2], np.float32)
        for rows, columns in _offsets():
            x = self.columns + columns + displacement[..., 0]
            y = self.rows + rows + displacement[..., 1]
            difference = sampled(self.offered, x, y) - _shifted(self.wanted, rows, columns)
            total += np.square(difference).sum(-1)
        away = np.square((displacement - self.motion.flow) / len(total)).sum(-1)
        return np.asarray(total / len(_offsets()) + POSITION * away, dtype=np.float32)


def _guides(recorded: Frame, edited: Field) -> Field:
    """Return the guides of a frame, each times the root of its weight: float32 ``[S, S, 7]``; a range is 1."""
    colours = np.asarray(recorded, dtype=np.float32) / 255
    grey = colours.mean(-1)
    edges = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 2.0)
    parts = [
        colours * np.float32((COLOUR / 3) ** 0.5),
        edges[..., None] * np.float32(EDGE**0.5),
        edited / 255 * np.float32((TEMPORAL / 3) ** 0.5),
    ]
    return np.concatenate(parts, -1)


def _offsets() -> list[tuple[int, int]]:
    reach = range(-REACH, REACH + 1)
    return [(rows, columns) for rows in reach for columns in reach]


def _shifted(values: Field, rows: int, columns: int) -> Field:
    """Return at each pixel the value of the pixel that is away by an offset; the border is repeated outside."""
    down, right = (np.arange(size) for size in values.shape[:2])
    down = np.clip(down + rows, 0, len(down) - 1)
    right = np.clip(right + columns, 0, len(right) - 1)
    return values[down][:, right]
