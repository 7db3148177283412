"""Lossless RGB video (FFV1 in Matroska): frames are read back bit for bit, in order or individually."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_bench.errors import UserError
from emo_bench.video.container import open_video
from emo_bench.video.writing import LOSSLESS, FrameU8, VideoWriter

if TYPE_CHECKING:
    import av


# Matroska's time stamps are in milliseconds; a whole number of them per frame keeps frame numbers exact.
FPS = 25
TICK_S = Fraction(1, FPS)


class FrameDigest:
    """SHA-256 over the shapes and the bytes of a series of frames."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, frame: FrameU8) -> None:
        """Add the next frame, uint8 ``[H, W, 3]``."""
        self._sha256.update(repr(frame.shape).encode())
        self._sha256.update(np.ascontiguousarray(frame).tobytes())

    def hexdigest(self) -> str:
        """Return the SHA-256 of all frames so far."""
        return self._sha256.hexdigest()


def write_lossless(path: Path, frames: Iterable[FrameU8]) -> tuple[int, str]:
    """Write frames uint8 ``[H, W, 3]`` RGB of one size; return their number and :class:`FrameDigest`.

    The file appears under its name only when it is complete; an exception, also one from ``frames``, leaves no file. An
    empty series or a frame of another size is a ValueError.
    """
    digest = FrameDigest()
    with VideoWriter(path, LOSSLESS, FPS) as writer:
        for frame in frames:
            writer.write(frame)
            digest.add(frame)
        if not writer.count:
            raise ValueError("there is no frame to write")
    return writer.count, digest.hexdigest()


def read_lossless(path: Path, indices: Iterable[int] | None = None) -> Iterator[FrameU8]:
    """Stream frames uint8 ``[H, W, 3]`` RGB: all of them, or the requested ones in any order.

    Raises:
        UserError: the file is missing or damaged, or has no such frame.
    """
    import av

    if not path.is_file():
        raise UserError(f"{path} is missing: run again")
    try:
        with open_video(path) as container:
            if indices is None:
                for frame in container.decode(video=0):
                    yield _to_rgb(frame)
            else:
                for index in indices:
                    yield _to_rgb(_seek(path, container, int(index)))
    except (OSError, av.FFmpegError, IndexError, ValueError, ArithmeticError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it and run again") from error


def _seek(path: Path, container: av.container.InputContainer, index: int) -> av.VideoFrame:
    stream = container.streams.video[0]
    if not stream.time_base:
        raise ValueError("its stream has no time base")
    container.seek(int(index * TICK_S / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.pts is None:
            raise ValueError("a frame has no time stamp")
        at = round(frame.pts * stream.time_base / TICK_S)
        if at == index:
            return frame
        if at > index:
            break
    raise UserError(f"{path} has no frame {index}; remove it and run again")


def _to_rgb(frame: av.VideoFrame) -> FrameU8:
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
