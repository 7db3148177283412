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
# Fits of older versions lack it, and are made again.
MOTION = "train_motion.safetensors"
# If the spread of a coefficient over the training frames is smaller, it is noise of the tracker.
LEAST_SPREAD = 1e-3
# Head poses and expressions of frames.
Motion = tuple[np.ndarray, np.ndarray]


class NearestFrame(Method):
    """Renders each index as the training frame with the nearest head pose and expression.

    The distance is Euclidean over two groups of equal weight, head pose (rotation vector and translation, 6) and
    expression (52). Each number is standardised by its spread over the training frames. The training frames are stored
    losslessly in the run's folder, because a renderer may not read the capture, and so are their head poses and
    expressions, because another person's track may drive it.
    """

    fit_files = (CHECKPOINT, FRAMES, MOTION)
    info: ClassVar[MethodInfo] = MethodInfo(
        name="nearest-frame",
        title="Nearest frame",
        paper="",
        licence="Apache-2.0",
        capabilities=frozenset({"render", "novel-view"}),
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
        """Store the training frames, their numbers, head poses and expressions."""
        from safetensors.numpy import save

        folder = self.workspace.folder
        with track_progress(len(train), "nearest-frame: fit") as advance:

            def frames() -> Iterator[np.ndarray]:
                for frame in capture.frames(train, size=self.resolution_px):
                    yield frame
                    advance()

            write_lossless(folder / FRAMES, frames())
        rows = np.asarray(train, dtype=np.int64)
        pose, expression = motion(capture.track)
        write_bytes(folder / MOTION, save({"pose": pose[rows], "expression": expression[rows]}))
        write_bytes(folder / CHECKPOINT, save({"train": rows}))

    def render(self, capture: Capture, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the nearest training frame for each index."""
        rows = nearest_rows(self._known(), motion(capture.track), indices)
        yield from read_lossless(self.workspace.folder / FRAMES, rows)

    def load(self) -> None:
        """Check the files; UserError if they are missing."""
        self._known()

    def describe(self) -> dict[str, object]:
        """Describe the resolution."""
        return {"config": {"resolution_px": self.resolution_px}}

    def _known(self) -> Motion:
        """Return head poses and expressions of the training frames; UserError if the files are missing or damaged."""
        train = self._array("train", np.int64, (None,), CHECKPOINT)
        known = self._array("pose", np.float64, (None, 6)), self._array("expression", np.float32, (None, 52))
        if not len(train) or {len(part) for part in known} != {len(train)}:
            raise UserError(f"{self.workspace.folder / MOTION} is of another fit: remove its folder and run again")
        return known

    def _array(self, name: str, dtype: type, shape: tuple[int | None, ...], file: str = MOTION) -> np.ndarray:
        from emo_bench.methods.training.fitted import load_array

        return load_array(self.workspace.folder, name, np.dtype(dtype), shape, file)


def nearest_rows(train: Motion, track: Motion, indices: Sequence[int]) -> np.ndarray:
    """Return for each index the nearest row of the training frames, ``[N]``; if several are equally near, the earliest.

    Args:
        train: :func:`motion` of the training frames.
        track: :func:`motion` of all frames of the track that drives.
        indices: frames of that track.
    """
    from scipy.spatial.distance import cdist

    rows = np.asarray(indices)
    pairs = [_standardised(known, driving[rows]) for known, driving in zip(train, track, strict=True)]
    known, wanted = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
    return np.asarray(cdist(wanted, known).argmin(axis=1))


def motion(track: Track) -> Motion:
    """Return the head poses ``[T, 6]`` and the expressions ``[T, 52]`` of a track.

    A pose is the rotation vector and the translation of the head; it is zero if there is no face.
    """
    from scipy.spatial.transform import Rotation

    pose = np.zeros((len(track), 6))
    found = track.valid_indices
    matrices = track.head_pose[found].astype(np.float64)
    pose[found, :3] = Rotation.from_matrix(matrices[:, :3, :3]).as_rotvec()
    pose[found, 3:] = matrices[:, :3, 3]
    return pose, track.expression


def _standardised(train: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardise both by the training frames, so that the group's mean squared length over them is one."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    moving = spread > LEAST_SPREAD
    first, second = ((group[:, moving] - mean[moving]) / spread[moving] for group in (train, wanted))
    return first / np.sqrt(max(1, moving.sum())), second / np.sqrt(max(1, moving.sum()))
