"""A batch that all metrics score; it computes only once what several of them need."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from emo_bench.metrics.kept import KeptResults

FramesU8 = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Side = Literal["frames", "reference"]
T = TypeVar("T")
Pixel = TypeVar("Pixel", np.uint8, np.bool_, np.float32)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Captions:
    """The captions of an edit: of its source ("a photo of a man") and of its target ("a bronze statue of a man").

    An empty source is none: metrics of the target alone need no source.
    """

    source: str
    target: str


@dataclass(frozen=True, eq=False)
class Subject:
    """The person whose avatar is scored.

    Attributes:
        read: reads recorded frames of the person, uint8 ``[N, H, W, 3]`` RGB, N at least 1; only metrics that use them
            call it.
    """

    read: Callable[[], FramesU8]


@dataclass(frozen=True)
class Settings:
    """The settings that all metrics of a scoring share.

    Attributes:
        device: "cpu" or "cuda".
        detector: the landmark detector; "auto" is the first of fan, mediapipe, dlib whose weights are on this machine.
        clip: the name of the CLIP model; "auto" is the first of ViT-L-14, ViT-B-32, portraits (this project's own)
            whose weights are on this machine; or a folder with open_clip_config.json and open_clip_model.safetensors.
        captions: the captions of the edit, if the scoring has one.
        fps: frames per second of the video, if it is known.
        subject: the person whose avatar is scored, if the scoring knows recorded frames of it besides the reference.
    """

    device: str = "cpu"
    detector: str = "auto"
    clip: str = "auto"
    captions: Captions | None = None
    fps: float | None = None
    subject: Subject | None = None


@dataclass(frozen=True, eq=False)
class Unrounded:
    """Frames and reference ``[B, H, W, 3]`` float32, 0 to 255, before they were rounded to whole levels."""

    frames: Floats
    reference: Floats | None

    def part(self, rows: slice) -> Unrounded:
        """Return some of the frames."""
        return Unrounded(self.frames[rows], None if self.reference is None else self.reference[rows])

    def read_only(self) -> Unrounded:
        """Return views of the arrays that cannot be written."""
        return Unrounded(_read_only(self.frames), None if self.reference is None else _read_only(self.reference))


class Batch:
    """B frames with their reference and their region; :meth:`once` keeps the results that several metrics use.

    Attributes:
        frames: uint8 ``[B, H, W, 3]`` RGB.
        reference: the reference frames, in the same format, or None.
        indices: the numbers or names of the B frames.
        region: bool ``[B, H, W]``, the pixels that are scored, or None for all pixels.
        before: the previous batch of the video, which holds the frame before this batch's first frame; None at the
            start of the video.
        unrounded: frames and reference before they were rounded to whole levels; None if they never had fractions.
        kept: where results of the reference frames are kept for later runs; None if they are of no capture.
    """

    def __init__(
        self,
        frames: FramesU8,
        reference: FramesU8 | None = None,
        indices: Sequence[int | str] = (),
        region: Masks | None = None,
        before: Batch | None = None,
        unrounded: Unrounded | None = None,
        kept: KeptResults | None = None,
    ) -> None:
        self.frames = frames
        self.reference = reference
        self.indices = tuple(indices) or tuple(range(len(frames)))
        self.region = region
        self.before = before
        self.unrounded = unrounded
        self.kept = kept
        self._kept: dict[Hashable, Any] = {}
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.RLock] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def side(self, side: Side) -> FramesU8:
        """Return the frames or the reference."""
        if side == "frames":
            return self.frames
        assert self.reference is not None
        return self.reference

    def levels(self, side: Side) -> NDArray[Any]:
        """Return the frames or the reference with their fractions if they have any: float32, 0 to 255, else uint8.

        Resizing and blending give fractions. Metrics of pixels use them, detectors get whole levels.
        """
        if self.unrounded is None:
            return self.side(side)
        found = self.unrounded.frames if side == "frames" else self.unrounded.reference
        assert found is not None
        return found

    def whole(self) -> Batch:
        """Return this batch without its region; it shares the pixels and all kept results."""
        view = copy.copy(self)
        view.region = None
        return view

    def digests(self, side: Side) -> list[bytes]:
        """Return the SHA-256 of size and pixels of each frame of that side, computed once."""

        def computed() -> list[bytes]:
            frames = [np.ascontiguousarray(frame) for frame in self.side(side)]
            return [hashlib.sha256(repr(f.shape).encode() + f.tobytes()).digest() for f in frames]

        return self.once(("sha256", side), computed)

    def part(self, rows: slice) -> Batch:
        """Return some of the frames as a new batch, which shares no results and has no previous batch."""
        reference = None if self.reference is None else self.reference[rows]
        region = None if self.region is None else self.region[rows]
        unrounded = None if self.unrounded is None else self.unrounded.part(rows)
        return Batch(self.frames[rows], reference, self.indices[rows], region, unrounded=unrounded, kept=self.kept)

    def read_only(self) -> Batch:
        """Return this batch with arrays that cannot be written; it shares the pixels and all kept results."""
        view = copy.copy(self)
        view.frames = _read_only(self.frames)
        view.reference = None if self.reference is None else _read_only(self.reference)
        view.region = None if self.region is None else _read_only(self.region)
        view.before = None if self.before is None else self.before.read_only()
        view.unrounded = None if self.unrounded is None else self.unrounded.read_only()
        return view

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of ``compute``, computed at the first call with this key; other threads wait for it."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.RLock())
        with lock:
            if key not in self._kept:
                self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept


def _read_only(array: NDArray[Pixel]) -> NDArray[Pixel]:
    """Return a view of an array that cannot be written; the array itself stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view
