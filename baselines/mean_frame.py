"""The mean of the training frames for every frame. A method with lower scores has learnt nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from baselines.trivial import RESOLUTIONS_PX, resolution_px
from emo_bench.actors.capture import Capture
from emo_bench.files import write_bytes
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.progress import track_progress

CHECKPOINT = "checkpoint.safetensors"


class MeanFrame(Method):
    """Renders every frame as the pixel-wise mean of the training frames, rounded."""

    fit_files = (CHECKPOINT,)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="mean-frame",
        title="Mean frame",
        paper="",
        licence="Apache-2.0",
        capabilities=frozenset({"render", "novel-view"}),
        requirements=(),
        fidelity="trivial: no paper",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.resolution_px = resolution_px(self.info.name, workspace)
        self._mean: np.ndarray | None = None

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(RESOLUTIONS_PX)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Average the frames, each resized by area."""
        from safetensors.numpy import save

        total = np.zeros((self.resolution_px, self.resolution_px, 3), dtype=np.uint64)
        with track_progress(len(train), "mean-frame: fit") as advance:
            for frame in capture.frames(train, size=self.resolution_px):
                total += frame
                advance()
        self._mean = np.rint(total / len(train)).astype(np.uint8)
        write_bytes(self.workspace.folder / CHECKPOINT, save({"mean": self._mean}))

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the mean once per index."""
        if self._mean is None:
            self.load()
        assert self._mean is not None
        for _ in indices:
            yield self._mean.copy()

    def load(self) -> None:
        """Read the mean; UserError if there is none."""
        from emo_bench.methods.training.fitted import load_array

        shape = (self.resolution_px, self.resolution_px, 3)
        self._mean = load_array(self.workspace.folder, "mean", np.dtype(np.uint8), shape)

    def describe(self) -> dict[str, object]:
        """Describe the resolution."""
        return {"config": {"resolution_px": self.resolution_px}}
