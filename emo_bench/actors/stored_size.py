"""How large the square frames of an actor are stored, and what the user should know about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emo_bench.actors import library
from emo_bench.actors.capture_info import read_capture_info
from emo_bench.actors.crop import Crop
from emo_bench.errors import UserError

# The smallest size of profile gpu, and the largest at which a method here is published (StyleAvatar).
LEAST_PX, MOST_PX = 64, 1024


def check_size(size_px: int | None) -> None:
    """Refuse a size that no actor may have; None is the crop's own.

    Raises:
        UserError: the size is outside ``LEAST_PX`` to ``MOST_PX``.
    """
    if size_px is not None and not LEAST_PX <= size_px <= MOST_PX:
        raise UserError(f"an actor cannot be stored at {size_px} px: give a --size from {LEAST_PX} to {MOST_PX}")


def stored_size(crop: Crop, asked_px: int | None) -> int:
    """Return the side of the stored frames in px: the one asked for, or the crop's own, at most ``MOST_PX``."""
    return min(crop.side, MOST_PX) if asked_px is None else asked_px


def size_notes(crop: Crop, asked_px: int | None, folder: Path) -> Iterator[str]:
    """Return facts about the stored size, one sentence each.

    Args:
        asked_px: the size that the user asked for, or None.
        folder: the actor's; it holds the actor that will be replaced, if there is one.
    """
    size_px = stored_size(crop, asked_px)
    if size_px > crop.side:
        yield (
            f"head and shoulders fill {crop.side} px of the video and were enlarged to {size_px} px, "
            f"which adds no detail: --size {crop.side} stores them as they are"
        )
    before_px = _size_before(folder)
    if asked_px is None and before_px not in (None, size_px):
        yield (
            f"the replaced actor was stored at {before_px} px and this one at {size_px} px: "
            f"--size {before_px} keeps the old size"
        )


def _size_before(folder: Path) -> int | None:
    try:
        return read_capture_info(folder / library.INFO_FILE).size_px
    except UserError:
        # There is no actor, or a damaged one, which nobody compares with.
        return None
