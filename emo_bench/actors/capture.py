"""Capture: an actor's frames, streamed from a video, with their track."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from emo_bench.actors.track import Track, pack_foreground
from emo_bench.errors import UserError
from emo_bench.video.container import open_video

if TYPE_CHECKING:
    import av

__all__ = ["Capture", "Track", "pack_foreground", "resize_area"]

# If the next frame is further ahead than this, the reader seeks instead of decoding all frames in between.
SEEK_BEYOND_FRAMES = 16


@dataclass(frozen=True, eq=False)
class Capture:
    """The frames of one person and their track.

    Attributes:
        name: the actor's name.
        video, track_file: the files; :attr:`folder` holds them.
        fps: constant frame rate.
        size_px: pixels of the square stored frames.
        source: ``"studio"`` (rendered, with an exact track) or ``"video"``.
        readable: None, or the only frames that may be read (see :meth:`restricted`).
    """

    name: str
    video: Path
    track_file: Path
    fps: float
    size_px: int
    source: Literal["studio", "video"]
    readable: frozenset[int] | None = field(default=None)

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self.video.parent

    @cached_property
    def track(self) -> Track:
        """The track of all frames, also in restricted views."""
        return Track.load(self.track_file)

    def __len__(self) -> int:
        return len(self.track)

    @property
    def valid_indices(self) -> np.ndarray:
        """The numbers of the frames with a face, ``[N]`` int64."""
        return self.track.valid_indices

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the video's bytes followed by those of the track."""
        digest = hashlib.sha256()
        for path in (self.video, self.track_file):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def frames(self, indices: Iterable[int], size: int | None = None) -> Iterator[np.ndarray]:
        """Stream frames ``uint8 [S, S, 3]`` RGB in the requested order; ascending order is the fastest.

        Args:
            indices: frame numbers, in any order; they may repeat.
            size: width and height after resizing; by area if it is smaller.

        Raises:
            IndexError: there is no such frame.
            PermissionError: this restricted view may not read one of the frames. Both are raised before the first
                frame.
        """
        wanted = [int(i) for i in indices]
        for i in wanted:
            if not 0 <= i < len(self):
                raise IndexError(f"{self.name} has {len(self)} frames; there is no frame {i}")
            if self.readable is not None and i not in self.readable:
                raise PermissionError(f"frame {i} of {self.name} is held out and may not be read here")
        return read_frames(self.video, self.fps, wanted, size)

    def restricted(self, readable: Iterable[int]) -> Capture:
        """Return a view that may read only these frames (and no more than this one); the track stays complete."""
        allowed = frozenset(int(i) for i in readable)
        if self.readable is not None:
            allowed &= self.readable
        view = replace(self, readable=allowed)
        if "track" in self.__dict__:
            view.__dict__["track"] = self.track
        return view


def read_frames(video: Path, fps: float, indices: Sequence[int], size: int | None = None) -> Iterator[np.ndarray]:
    """Stream frames ``uint8 [S, S, 3]`` RGB of a square video with a constant frame rate, in the requested order.

    Args:
        video: the file.
        fps: its frame rate.
        indices: frame numbers, in any order; they may repeat.
        size: width and height after resizing; by area if it is smaller.

    Raises:
        UserError: the video cannot be read or has no such frame.
    """
    if not indices:
        return
    with _FrameReader(video, fps) as reader:
        for i in indices:
            frame = reader.read(i)
            yield frame.copy() if size is None else resize_area(frame, size)


class _FrameReader:
    """Reads single frames of a constant-rate video; ascending numbers need no seeking."""

    def __init__(self, path: Path, fps: float) -> None:
        import av

        try:
            self._container = open_video(path)
        except (OSError, av.FFmpegError) as error:
            raise UserError(f"{path} cannot be read ({error}); add the video again") from error
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._path = path
        self._fps = fps
        self._start = self._stream.start_time or 0
        self._frames = self._decode()
        self._at = -1
        self._frame: np.ndarray | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        return iter(self._container.decode(self._stream))

    def read(self, index: int) -> np.ndarray:
        """Read frame ``index`` as ``[S, S, 3]`` uint8 RGB."""
        if self._frame is not None and index == self._at:
            return self._frame
        if index < self._at or index > self._at + SEEK_BEYOND_FRAMES:
            self._seek(index)
        for frame in self._frames:
            self._at = self._number(frame)
            if self._at == index:
                self._frame = frame.to_ndarray(format="rgb24")
                return self._frame
            if self._at > index:
                break
        raise UserError(f"{self._path} is damaged: frame {index} is missing; add the video again")

    def _number(self, frame: av.VideoFrame) -> int:
        assert frame.pts is not None
        assert frame.time_base is not None
        return round(float((frame.pts - self._start) * frame.time_base) * self._fps)

    def _seek(self, index: int) -> None:
        base = self._stream.time_base
        assert base is not None
        # Half a frame earlier, so that rounding of the time stamps never seeks past the frame.
        target = self._start + int(max(index - 0.5, 0.0) / self._fps / base)
        self._container.seek(target, stream=self._stream, backward=True, any_frame=False)
        self._frames = self._decode()
        self._frame = None


def resize_area(frame_u8: np.ndarray, size: int) -> np.ndarray:
    """Resize to ``[size, size, 3]``: by exact area to a smaller size, bicubically to a larger one."""
    if frame_u8.shape[:2] == (size, size):
        return frame_u8.copy()
    height, width = frame_u8.shape[:2]
    if height == width and height % size == 0:
        return block_means(frame_u8, height // size)
    from emo_bench.system import opencv as cv2

    how = cv2.INTER_AREA if size < height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame_u8, (size, size), interpolation=how))


def block_means(frame_u8: np.ndarray, factor: int) -> np.ndarray:
    """Average each ``factor`` x ``factor`` pixels of ``[F S, F S, 3]``: ``[S, S, 3]`` uint8.

    The result equals OpenCV's ``INTER_AREA`` in every bit: halves are rounded up for a factor of two, otherwise to
    even.
    """
    side = frame_u8.shape[0] // factor
    # 16 bits can hold the sum of 257 pixels, and are twice as fast.
    sums = np.zeros((side, side, *frame_u8.shape[2:]), dtype=np.uint16 if factor <= 16 else np.uint32)
    for row in range(factor):
        for column in range(factor):
            sums += frame_u8[row::factor, column::factor]
    if factor == 2:
        return ((sums + 2) >> 2).astype(np.uint8)
    return np.rint(sums.astype(np.float32) * np.float32(1.0 / factor**2)).astype(np.uint8)
