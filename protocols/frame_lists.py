"""Frame numbers as text: ``0-3,7``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

# Frame numbers are below this limit: more than a day of video.
MOST_FRAMES = 10_000_000
Range = tuple[int, int]


def format_frames(frames: Sequence[int]) -> str:
    """Write ascending frame numbers as text, with ranges: ``0-3,7``."""
    return format_ranges(_joined([(frame, frame) for frame in frames]))


def parse_frames(text: str) -> tuple[int, ...]:
    """Return the frame numbers that :func:`format_frames` wrote."""
    return frames_of(ranges_of(text))


def format_ranges(ranges: Sequence[Range]) -> str:
    """Write ranges, both ends included, as text."""
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def ranges_of(text: str) -> list[Range]:
    """Read the ranges of a text, both ends included; the text is only checked for numbers."""
    parts = (part.partition("-") for part in text.split(",") if part)
    return [(int(first), int(last or first)) for first, _, last in parts]


def frames_of(ranges: Sequence[Range]) -> tuple[int, ...]:
    """Return the frame numbers of ranges."""
    return tuple(frame for first, last in ranges for frame in range(first, last + 1))


def checked_list(value: object) -> str:
    """Convert a list that a user wrote to the form of :func:`format_frames`.

    Args:
        value: whole numbers and texts such as ``"0-499"``, in any order; or one text with commas.

    Raises:
        ValueError: it is not such a list, it is empty, it names a frame twice, or a number is too large.
    """
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)):
        raise ValueError('give a list of frame numbers and ranges, e.g. ["0-499", 510]')
    ranges = sorted(_range(entry) for entry in entries)
    if not ranges:
        raise ValueError("it names no frame")
    for before, after in pairwise(ranges):
        if after[0] <= before[1]:
            raise ValueError(f"it names frame {after[0]} twice")
    return format_ranges(_joined(ranges))


def first_common(one: Sequence[Range], other: Sequence[Range], closer_than: int = 1) -> tuple[int, int] | None:
    """Return a frame of each of two ascending lists that are less than ``closer_than`` apart, or None."""
    i = j = 0
    while i < len(one) and j < len(other):
        (first, last), (low, high) = one[i], other[j]
        if last + closer_than <= low:
            i += 1
        elif high + closer_than <= first:
            j += 1
        elif low > last:
            return last, low
        elif first > high:
            return first, high
        else:
            return max(first, low), max(first, low)
    return None


def _range(entry: object) -> Range:
    text = str(entry) if isinstance(entry, int) and not isinstance(entry, bool) else entry
    if not isinstance(text, str):
        raise ValueError(f'{entry!r} is no frame number and no range such as "0-499"')
    first, dash, last = (part.strip() for part in text.partition("-"))
    numbers = [first, last] if dash else [first]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ValueError(f'{text[:40]!r} is no frame number and no range such as "0-499"')
    if any(len(number) > 12 or int(number) >= MOST_FRAMES for number in numbers):
        raise ValueError(f"{text[:40]!r}: frame numbers are below {MOST_FRAMES}")
    if dash and int(last) < int(first):
        raise ValueError(f"{text!r} ends before it begins")
    return int(first), int(last if dash else first)


def _joined(ranges: Sequence[Range]) -> list[Range]:
    """Return ascending ranges; neighbouring ranges are merged."""
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
