"""The only writer of videos: encode pictures of one size to a file that is complete or absent, or to memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_bench.files import replacing

FrameU8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded.

    Attributes:
        container: the file format, by FFmpeg's name.
        codec: the encoder, by FFmpeg's name.
        pixel_format: how the encoder stores colours; formats with halved colour resolution need even sides.
        options: the encoder's options.
        container_options: the file format's options.
        threads: the encoder's number of threads; 0 lets it choose.
    """

    container: str
    codec: str
    pixel_format: str
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0


# Every player can show this video.
H264 = Encoding("mp4", "libx264", "yuv420p", {"crf": "16"})
# BGR in four bytes is the only FFV1 pixel format for 8-bit RGB that needs no colour conversion.
LOSSLESS = Encoding("matroska", "ffv1", "bgr0", {"level": "3", "slicecrc": "1", "g": "1"})


class VideoWriter:
    """Encodes pictures uint8 ``[H, W, 3]`` RGB of one size; use it as a context manager.

    A file appears under its name only when the block ends without an exception; after an exception there is no file.

    Args:
        target: the file, or memory.
        encoding: the format.
        fps: constant frame rate; a float is rounded to the nearest fraction with a denominator of at most 1001.
        comment: text that the file keeps beside its pictures.
    """

    def __init__(self, target: Path | io.BytesIO, encoding: Encoding, fps: float | Fraction, comment: str = "") -> None:
        self.count = 0
        self._comment = comment
        self._target, self._encoding = target, encoding
        self._rate = fps if isinstance(fps, Fraction) else Fraction(fps).limit_denominator(1001)
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        import av

        how = self._encoding
        with ExitStack() as stack:
            target = self._target
            opened = str(stack.enter_context(replacing(target))) if isinstance(target, Path) else target
            options = dict(how.container_options)
            self._container = stack.enter_context(av.open(opened, "w", format=how.container, options=options))
            if self._comment:
                self._container.metadata["comment"] = self._comment
            stack.push(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write the pictures that the encoder has not yet written."""
        if kind is None and self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def write(self, picture_u8: FrameU8, at: int | None = None) -> None:
        """Append a picture, as frame number ``at`` of the video or as the next one.

        Raises:
            ValueError: it is not uint8, or has another size than the first picture.
        """
        import av

        if self._stream is None:
            self._open_stream(picture_u8.shape)
        if picture_u8.shape != self._shape or picture_u8.dtype != np.uint8:
            raise ValueError(f"frame {self.count} is {picture_u8.dtype} {picture_u8.shape}, not uint8 {self._shape}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_u8), format="rgb24")
        frame.pts, frame.time_base = self.count if at is None else at, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def _open_stream(self, shape: tuple[int, ...]) -> None:
        how = self._encoding
        self._shape = shape
        self._stream = self._container.add_stream(how.codec, rate=self._rate, options=dict(how.options))
        self._stream.height, self._stream.width = shape[:2]
        self._stream.pix_fmt = how.pixel_format
        self._stream.thread_count = how.threads


def write_video(
    target: Path | io.BytesIO, pictures: Iterable[FrameU8], encoding: Encoding, fps: float | Fraction
) -> None:
    """Write one or more pictures as :class:`VideoWriter` does.

    Raises:
        ValueError: there is no picture, or one is not uint8 or has another size than the first one.
    """
    with VideoWriter(target, encoding, fps) as writer:
        for picture in pictures:
            writer.write(picture)
        if not writer.count:
            raise ValueError("there is no frame to write")
