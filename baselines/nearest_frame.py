"""The training frame nearest in head pose and expression: below it, playing back is better than learning."""

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
# Below this spread over the training frames a coefficient is noise of the tracker.
LEAST_SPREAD = 1e-3


class NearestFrame(Method):
    """Answers an index with the training frame whose head pose and expression are nearest.

    The distance is Euclidean over two groups of equal weight, head pose (rotation vector and translation, 6)
    and expression (52), each number standardised by its spread over the training frames. The training
    frames are kept losslessly in the run's folder, because a renderer may not read the capture.
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
        """Nothing to take up beyond the files; a UserError says when they are missing."""
        self._train()

    def describe(self) -> dict[str, object]:
        """The resolution."""
        return {"config": {"resolution_px": self.resolution_px}}

    def _train(self) -> np.ndarray:
        from emo_bench.methods.training.fitted import load_array

        return load_array(self.workspace.folder, "train", np.dtype(np.int64), (None,))


def nearest_rows(track: Track, train: Sequence[int] | np.ndarray, indices: Sequence[int]) -> np.ndarray:
    """For each index the row ``[N]`` of ``train`` that is nearest; the earlier one of equals."""
    from scipy.spatial.distance import cdist

    pose = _pose(track)
    groups = [_standardised(group, np.asarray(train)) for group in (pose, track.expression)]
    features = np.concatenate(groups, axis=1)
    return np.asarray(cdist(features[np.asarray(indices)], features[np.asarray(train)]).argmin(axis=1))


def _pose(track: Track) -> np.ndarray:
    """``[T, 6]``: rotation vector and translation of the head; zeros where there is no face."""
    from scipy.spatial.transform import Rotation

    pose = np.zeros((len(track), 6))
    found = track.valid_indices
    matrices = track.head_pose[found].astype(np.float64)
    pose[found, :3] = Rotation.from_matrix(matrices[:, :3, :3]).as_rotvec()
    pose[found, 3:] = matrices[:, :3, 3]
    return pose


def _standardised(group: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Centred and scaled by the training frames; the group's mean squared length over them is one."""
    mean, spread = group[train].mean(axis=0), group[train].std(axis=0)
    moving = spread > LEAST_SPREAD
    scaled = (group[:, moving] - mean[moving]) / spread[moving]
    return np.asarray(scaled / np.sqrt(max(1, moving.sum())))
