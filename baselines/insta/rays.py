"""Training rays of a capture: drawn from the frames, the mouth more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.insta.config import InstaConfig
from baselines.insta.shell import Shell, ShellRays
from emo_bench.actors.capture import Capture
from emo_bench.progress import track_progress


@dataclass(frozen=True)
class RayBatch:
    """Some rays of one frame.

    Attributes:
        index: of the frame.
        rays: the chosen rays.
        rgb: ``[K, 3]`` float32 in [0, 1], what the frame shows.
        inside: ``[K]`` bool, the person's mask.
    """

    index: int
    rays: ShellRays
    rgb: np.ndarray
    inside: np.ndarray


class TrainingRays:
    """The frames with their shell rays, all in memory: about 25 bytes a ray of the shell.

    Args:
        capture: in which ``indices`` are readable.
        indices: training frames.
        shell: finds the rays.
        config: resolution and the weight of the mouth.
    """

    def __init__(self, capture: Capture, indices: Sequence[int], shell: Shell, config: InstaConfig) -> None:
        self.indices = [int(i) for i in indices]
        size = config.resolution_px
        self._frames = np.empty((len(self.indices), size * size, 3), dtype=np.uint8)
        self._masks = np.empty((len(self.indices), size * size), dtype=bool)
        self._rays: list[ShellRays] = []
        self._reach: list[np.ndarray] = []
        with track_progress(len(self.indices), "insta: rays of the training frames") as advance:
            for row, frame in enumerate(capture.frames(self.indices, size=size)):
                index = self.indices[row]
                self._frames[row] = frame.reshape(-1, 3)
                self._masks[row] = capture.track.foreground(index, size).reshape(-1)
                rays = shell.rays(index)
                self._rays.append(rays)
                weights = np.where(rays.mouth, config.mouth_weight, 1.0)
                self._reach.append(np.cumsum(weights, dtype=np.float32))
                advance()

    def __len__(self) -> int:
        return len(self.indices)

    def draw(self, rng: np.random.Generator, frames: int, rays: int) -> list[RayBatch]:
        """Draw ``rays`` rays from ``frames`` frames; a ray's chance within its frame is its weight."""
        return [self._some(int(row), rng, rays // frames) for row in rng.integers(len(self), size=frames)]

    def _some(self, row: int, rng: np.random.Generator, count: int) -> RayBatch:
        every, reach = self._rays[row], self._reach[row]
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
        return RayBatch(self.indices[row], rays, rgb, self._masks[row, rays.pixels])
