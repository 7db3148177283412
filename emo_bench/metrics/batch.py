"""A batch on its way through all metrics, with what several of them share computed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

FramesU8 = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Side = Literal["frames", "reference"]
T = TypeVar("T")


@dataclass(frozen=True)
class Captions:
    """What an edit started from and aims at, as captions ("a photo of a man", "a bronze statue of a man")."""

    source: str
    target: str


@dataclass(frozen=True)
class Settings:
    """What all metrics of a scoring share.

    Attributes:
        device: "cpu" or "cuda".
        detector: of landmarks; "auto" is the first of fan, mediapipe, dlib whose weights are here.
        clip: name of the CLIP model; "auto" is the first of ViT-L-14, ViT-B-32, portraits (this project's own) whose
            weights are here; or a folder with open_clip_config.json and open_clip_model.safetensors.
        captions: of the edit, where there is one.
    """

    device: str = "cpu"
    detector: str = "auto"
    clip: str = "auto"
    captions: Captions | None = None


class Batch:
    """B frames, their reference and their region; :meth:`once` keeps what more than one metric asks for.

    Attributes:
        frames: uint8 ``[B, H, W, 3]`` RGB.
        reference: the same of the reference, or None.
        indices: the B frames' numbers or names.
        region: bool ``[B, H, W]``, the pixels that count, or None for all.
        before: the batch before this one in the video, whose last frame is the neighbour of this one's first; None
            at the start.
    """

    def __init__(
        self,
        frames: FramesU8,
        reference: FramesU8 | None = None,
        indices: Sequence[int | str] = (),
        region: Masks | None = None,
        before: Batch | None = None,
    ) -> None:
        self.frames = frames
        self.reference = reference
        self.indices = tuple(indices) or tuple(range(len(frames)))
        self.region = region
        self.before = before
        self._kept: dict[Hashable, Any] = {}
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.RLock] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def side(self, side: Side) -> FramesU8:
        """The frames or the reference."""
        if side == "frames":
            return self.frames
        assert self.reference is not None
        return self.reference

    def part(self, rows: slice) -> Batch:
        """Some of its frames as a batch of their own, which shares nothing and has no batch before it."""
        reference = None if self.reference is None else self.reference[rows]
        region = None if self.region is None else self.region[rows]
        return Batch(self.frames[rows], reference, self.indices[rows], region)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What ``compute`` gives, computed at the first call with this key; other threads wait for it."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.RLock())
        with lock:
            if key not in self._kept:
                self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept
