"""Frames made anywhere: a folder of pictures or a video, with the frames' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError

FrameU8 = NDArray[np.uint8]

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
SHOWN_NAMES = 5


@dataclass(frozen=True)
class FrameSource:
    """A series of frames that can be read from the start any number of times.

    Attributes:
        title: where they come from, for messages.
        names: of the frames: a picture's file name without its ending, or a video frame's number.
        open: yields uint8 ``[H, W, 3]`` RGB in the order of ``names``; UserError for what cannot be read.
        by_name: whether the names say which frames of two sources belong together.
    """

    title: str
    names: tuple[int | str, ...]
    open: Callable[[], Iterator[FrameU8]]
    by_name: bool

    def __len__(self) -> int:
        return len(self.names)


def open_frames(path: Path) -> FrameSource:
    """Frames of a folder of pictures (in the natural order of their names) or of a video.

    Alpha lies on black, grey becomes RGB; pictures of more than 8 bits are refused.

    Raises:
        UserError: there is nothing of that kind at ``path``.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    from emo_bench.actors.video import decode_video, probe_video

    info = probe_video(path)
    return FrameSource(str(path), tuple(range(info.frames)), lambda: decode_video(info), by_name=False)


def match(source: FrameSource, frames: FrameSource) -> FrameSource:
    """Check that ``source`` (reference or masks) goes with ``frames``: by name between folders, else by number.

    Raises:
        UserError: one has frames that the other lacks.
    """
    if not (source.by_name and frames.by_name):
        if len(source) != len(frames):
            raise UserError(
                f"{frames.title} has {len(frames)} frames and {source.title} {len(source)}: frames of a video are "
                "matched by position, so give as many of each"
            )
        return source
    for one, other in ((frames, source), (source, frames)):
        lacking = [str(name) for name in one.names if name not in set(other.names)]
        if lacking:
            shown = ", ".join(lacking[:SHOWN_NAMES]) + (", ..." if len(lacking) > SHOWN_NAMES else "")
            raise UserError(f"{other.title} lacks {len(lacking)} frames that {one.title} has: {shown}")
    return source


def natural_order(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key under which ``frame10`` comes after ``frame9``."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def _open_folder(folder: Path) -> FrameSource:
    files = sorted(
        (file for file in folder.iterdir() if file.suffix.lower() in PICTURES),
        key=lambda file: natural_order(file.stem),
    )
    if not files:
        raise UserError(f"{folder} holds no pictures: give a folder of PNG or JPEG files, or a video")
    stems = [file.stem for file in files]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    if twice:
        raise UserError(f"{folder} holds several pictures named {sorted(twice)[0]}: keep one of each")
    return FrameSource(str(folder), tuple(stems), lambda: map(read_picture, files), by_name=True)


def read_picture(file: Path) -> FrameU8:
    """Read one picture as uint8 ``[H, W, 3]`` RGB.

    Raises:
        UserError: it cannot be read, or has more than 8 bits a channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if picture.mode.startswith(("I", "F")):
                raise UserError(f"{file} has more than 8 bits a channel: convert it to 8-bit RGB first")
            if picture.has_transparency_data:
                black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
                return np.array(Image.alpha_composite(black, picture.convert("RGBA")).convert("RGB"))
            return np.array(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{file} cannot be read as a picture ({error})") from error


def in_batches(
    sources: Sequence[FrameSource | None], batch: int
) -> Iterator[tuple[tuple[int | str, ...], list[list[FrameU8] | None]]]:
    """Walk through matched sources together, each decoded once.

    Args:
        sources: the first is never None; None stands for a source that was not given.

    Yields:
        The names of up to ``batch`` frames, and for each source its frames or None.

    Raises:
        UserError: a source ends before its last frame.
    """
    first = sources[0]
    assert first is not None
    streams = [None if source is None else _whole(source) for source in sources]
    for start in range(0, len(first), batch):
        names = first.names[start : start + batch]
        yield names, [None if stream is None else [next(stream) for _ in names] for stream in streams]


def _whole(source: FrameSource) -> Iterator[FrameU8]:
    count = 0
    for frame in source.open():
        count += 1
        yield frame
        if count == len(source):
            return
    raise UserError(f"{source.title} is damaged: only {count} of its {len(source)} frames could be read")
