"""Check frames from another program against the requested frames: count, order, size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emo_bench.errors import UserError
from emo_bench.pictures.reading import FrameU8
from emo_bench.video.frame_source import FrameSource, open_frames

SHOWN = 5


@dataclass(frozen=True)
class NumberedFrames:
    """Frames of a folder or a video: one for each of ``indices``, in that order."""

    source: FrameSource
    indices: tuple[int, ...]

    def read(self, size_px: int | None = None) -> Iterator[FrameU8]:
        """Stream frames uint8 ``[S, S, 3]`` RGB.

        Raises:
            UserError: a frame cannot be read, is not square, or has another size than ``size_px`` or the first.
        """
        count = 0
        for name, frame in zip(self.source.names, self.source.open(), strict=False):
            height, width = frame.shape[:2]
            size_px = height if size_px is None else size_px
            if (height, width) != (size_px, size_px):
                raise UserError(f"frame {name} of {self.source.title} is {width}x{height} px, not {size_px}x{size_px}")
            count += 1
            yield frame
        if count != len(self.indices):
            raise UserError(f"{self.source.title} is damaged: {count} of {len(self.indices)} frames could be read")


def frame_number(name: str) -> int | None:
    """Return the last number in a frame's name, or None."""
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found else None


def open_numbered(path: Path, indices: Sequence[int]) -> NumberedFrames:
    """Open the frames for ``indices``, ascending.

    A picture's last number is the frame's number in the video, or its position in the series, counted from 0 or 1.
    Frames of a video are numbered by their position.

    Raises:
        UserError: there are no frames, too many or too few, or they have other numbers.
    """
    if not path.exists():
        raise UserError(f"{path}: there are no frames")
    source = open_frames(path)
    wanted = [int(i) for i in indices]
    if source.by_name:
        _check_numbers(source, wanted)
    elif len(source) != len(wanted):
        raise UserError(f"{source.title} has {len(source)} frames; {len(wanted)} were asked for")
    return NumberedFrames(source, tuple(wanted))


def _check_numbers(source: FrameSource, wanted: list[int]) -> None:
    numbers = []
    for name in source.names:
        number = frame_number(str(name))
        if number is None:
            raise UserError(
                f"{name} in {source.title} has no number, so its position is unknown: name frames by number"
            )
        numbers.append(number)
    first = numbers[0] if numbers[0] in (0, 1) else 0
    in_series = list(range(first, first + len(wanted)))
    if numbers in (wanted, in_series):
        return
    if len(numbers) != len(wanted):
        raise UserError(
            f"{source.title} has {len(numbers)} frames; {len(wanted)} were asked for{_lacking(numbers, wanted)}"
        )
    if sorted(numbers) in (wanted, in_series):
        raise UserError(f"the frames of {source.title} are not in the order of their numbers: use one form of name")
    raise UserError(
        f"{source.title} has {len(numbers)} frames, as asked for, but not those{_lacking(numbers, wanted)}"
        f"; name them {wanted[0]} to {wanted[-1]}, or 0 to {len(wanted) - 1}"
    )


def _lacking(numbers: list[int], wanted: list[int]) -> str:
    given = set(numbers)
    lacking = [str(i) for i in wanted if i not in given]
    if not lacking or len(lacking) == len(wanted):
        return ""
    return f"; lacking: {', '.join(lacking[:SHOWN])}{', ...' if len(lacking) > SHOWN else ''}"
