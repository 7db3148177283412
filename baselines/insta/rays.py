"""Training rays of a capture, drawn from the frames; rays of the mouth are drawn more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.insta.config import InstaConfig
from baselines.insta.shell import Shell, ShellRays
from emo_bench.actors.capture import Capture
from emo_bench.errors import UserError
from emo_bench.progress import track_progress


@dataclass(frozen=True)
class RayBatch:
    """Some rays of one frame.

    Attributes:
        index: the frame.
        rays: the drawn rays.
        rgb: ``[K, 3]`` float32 in [0, 1], the colours of the frame.
        inside: ``[K]`` bool, the person's mask.
        weight: ``[K]`` float32; it corrects for the probabilities, so that a weighted mean is a mean over all of the
            frame's rays.
    """

    index: int
    rays: ShellRays
    rgb: np.ndarray
    inside: np.ndarray
    weight: np.ndarray


class TrainingRays:
    """The frames with their shell rays, all in memory: about 17 bytes per ray of the shell.

    Args:
        capture: a capture in which ``indices`` are readable.
        indices: training frames.
        shell: finds the rays.
        config: resolution and the weight of the mouth.

    Raises:
        UserError: no frame has a ray of the shell.
    """

    def __init__(self, capture: Capture, indices: Sequence[int], shell: Shell, config: InstaConfig) -> None:
        self.indices = [int(i) for i in indices]
        self._mouth_weight, size = config.mouth_weight, config.resolution_px
        self._frames = np.empty((len(self.indices), size * size, 3), dtype=np.uint8)
        self._masks = np.empty((len(self.indices), size * size), dtype=bool)
        self._rays: list[ShellRays] = []
        with track_progress(len(self.indices), "insta: rays of the training frames") as advance:
            for row, frame in enumerate(capture.frames(self.indices, size=size)):
                index = self.indices[row]
                self._frames[row] = frame.reshape(-1, 3)
                self._masks[row] = capture.track.foreground(index, size).reshape(-1)
                self._rays.append(shell.rays(index))
                advance()
        self._filled = [row for row, rays in enumerate(self._rays) if len(rays.pixels)]
        if not self._filled:
            raise UserError("insta: the tracked head is outside the picture in all training frames")

    def draw(self, rng: np.random.Generator, frames: int, rays: int) -> list[RayBatch]:
        """Draw ``rays`` rays from ``frames`` frames; the probability of mouth rays is ``mouth_weight`` times higher."""
        chosen = rng.integers(len(self._filled), size=frames)
        return [self._some(self._filled[i], rng, rays // frames) for i in chosen]

    def _some(self, row: int, rng: np.random.Generator, count: int) -> RayBatch:
        every = self._rays[row]
        chance = np.where(every.mouth, self._mouth_weight, 1.0)
        reach = np.cumsum(chance)
        chosen = np.searchsorted(reach, rng.random(count) * reach[-1], side="right").clip(0, len(reach) - 1)
        rays = ShellRays(
            every.pixels[chosen],
            every.near[chosen],
            every.far[chosen],
            every.prior[chosen],
            every.mouth[chosen],
            every.vertices,
        )
        rgb = self._frames[row, rays.pixels].astype(np.float32) / 255.0
        weight = (chance.mean() / chance[chosen]).astype(np.float32)
        return RayBatch(self.indices[row], rays, rgb, self._masks[row, rays.pixels], weight)
