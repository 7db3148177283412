"""The training frame nearest in head pose and expression. If a method has lower scores, playback is better than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from baselines.trivial import RESOLUTIONS_PX, resolution_px
from emo_bench.actors.capture import Capture, Track
from emo_bench.errors import UserError
from emo_bench.files import write_bytes
from emo_bench.methods.interface import Method, MethodInfo, Workspace
from emo_bench.progress import track_progress
from emo_bench.video.lossless import read_lossless, write_lossless

FRAMES, CHECKPOINT = "train_frames.mkv", "checkpoint.safetensors"
# If the spread of a coefficient over the training frames is smaller, it is noise of the tracker.
LEAST_SPREAD = 1e-3


class NearestFrame(Method):
    """Renders each index as the training frame with the nearest head pose and expression.

    The distance is Euclidean over two groups of equal weight, head pose (rotation vector and translation, 6) and
    expression (52). Each number is standardised by its spread over the training frames. The training frames are stored
    losslessly in the run's folder, because a renderer may not read the capture.
    """

    fit_files = (CHECKPOINT, FRAMES)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="nearest-frame",
        title="Nearest frame",
        paper="",
        licence="Apache-2.0",
        capabilities=frozenset({"render"}),
        requirements=(),
        fidelity="trivial: no paper",
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.resolution_px = resolution_px(self.info.name, workspace)

    @classmethod
    def profiles(cls) -> tuple[str, ...]:
        """Return ``smoke``, ``cpu``, ``gpu`` and ``paper``."""
        return tuple(RESOLUTIONS_PX)

    def fit(self, capture: Capture, train: Sequence[int]) -> None:
        """Store the training frames and their numbers."""
        from safetensors.numpy import save

        folder = self.workspace.folder
        with track_progress(len(train), "nearest-frame: fit") as advance:

            def frames() -> Iterator[np.ndarray]:
                for frame in capture.frames(train, size=self.resolution_px):
                    yield frame
                    advance()

            write_lossless(folder / FRAMES, frames())
        write_bytes(folder / CHECKPOINT, save({"train": np.asarray(train, dtype=np.int64)}))

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the nearest training frame for each index."""
        train = self._train()
        if not len(train) or train.min() < 0 or train.max() >= len(capture):
            raise UserError(
                f"{self.workspace.folder / CHECKPOINT} is of another capture: remove its folder and run again"
            )
        rows = nearest_rows(capture.track, train, indices)
        yield from read_lossless(self.workspace.folder / FRAMES, rows)

    def load(self) -> None:
        """Check the files; UserError if they are missing."""
        self._train()

    def describe(self) -> dict[str, object]:
        """Describe the resolution."""
        return {"config": {"resolution_px": self.resolution_px}}

    def _train(self) -> np.ndarray:
        from emo_bench.methods.training.fitted import load_array

        return load_array(self.workspace.folder, "train", np.dtype(np.int64), (None,))


def nearest_rows(track: Track, train: Sequence[int] | np.ndarray, indices: Sequence[int]) -> np.ndarray:
    """Return for each index the nearest row of ``train``, ``[N]``; if several are equally near, the earliest."""
    from scipy.spatial.distance import cdist

    pose = _pose(track)
    groups = [_standardised(group, np.asarray(train)) for group in (pose, track.expression)]
    features = np.concatenate(groups, axis=1)
    return np.asarray(cdist(features[np.asarray(indices)], features[np.asarray(train)]).argmin(axis=1))


def _pose(track: Track) -> np.ndarray:
    """Return ``[T, 6]``: rotation vector and translation of the head; zeros if there is no face."""
    from scipy.spatial.transform import Rotation

    pose = np.zeros((len(track), 6))
    found = track.valid_indices
    matrices = track.head_pose[found].astype(np.float64)
    pose[found, :3] = Rotation.from_matrix(matrices[:, :3, :3]).as_rotvec()
    pose[found, 3:] = matrices[:, :3, 3]
    return pose


def _standardised(group: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardise by the training frames, so that the group's mean squared length over them is one."""
    mean, spread = group[train].mean(axis=0), group[train].std(axis=0)
    moving = spread > LEAST_SPREAD
    scaled = (group[:, moving] - mean[moving]) / spread[moving]
    return np.asarray(scaled / np.sqrt(max(1, moving.sum())))
