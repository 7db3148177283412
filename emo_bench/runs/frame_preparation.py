"""A batch of frames, its reference and its masks, prepared as a scoring convention says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.batch import FramesU8, Masks
from emo_bench.metrics.conventions import Compositing, Convention
from emo_bench.metrics.preparing import blended, lay_on, resized, rounded
from emo_bench.pictures.reading import FrameU8
from emo_bench.video.masks import HALF, LevelsU8

# The masks of the face for a run are made at the convention's size; all else has the size of the frames.
Prepared = tuple[FramesU8, FramesU8 | None, Sequence[int | str], Masks | None, LevelsU8 | None]


def prepared(names: Sequence[int | str], parts: Sequence[list[FrameU8] | None], convention: Convention) -> Prepared:
    """Prepare a batch for the convention.

    Args:
        names: the names of the B frames.
        parts: uint8 ``[H, W, 3]`` frames, reference (or None) and masks (or None), 0 to 255.
        convention: what to do.

    Returns:
        What ``Scorer.add`` takes: frames and reference, uint8 ``[B, H, W, 3]``, the names, the region, bool
        ``[B, H, W]``, or None, and the masks as they were given, uint8 ``[B, H, W]``, or None.

    Raises:
        UserError: sizes differ, or a mask is empty.
    """
    given = [None if part is None else _stacked(part) for part in parts]
    frames, reference, masks = (None if part is None else _of_size(part, convention) for part in given)
    assert frames is not None
    if masks is None or given[2] is None:
        return rounded(frames), None if reference is None else rounded(reference), names, None, None
    levels = masks[..., 0]
    if levels.shape != frames.shape[:3]:
        raise UserError(f"masks are {levels.shape[2]}x{levels.shape[1]} px, frames {frames.shape[2]}x{frames.shape[1]}")
    inside = levels >= HALF
    _require_person(names, inside)
    if not convention.changes_reference_only:
        frames = lay_on(rounded(frames), inside, convention.background)
        reference = None if reference is None else lay_on(rounded(reference), inside, convention.background)
    elif reference is not None:
        mattes = levels if convention.blends else inside * np.uint8(255)
        down = convention.compositing == Compositing.SOFT_DOWN
        reference = blended(reference, mattes, convention.background, "down" if down else "to nearest")
    region = None if convention.region == "full frame" else inside
    return rounded(frames), reference, names, region, given[2][..., 0]


def _of_size(frames: FramesU8, convention: Convention) -> np.ndarray:
    """Resize in float32, because a picture that is blended afterwards is rounded once."""
    if convention.size_px is None or frames.shape[2] == convention.size_px:
        return frames
    return resized(frames.astype(np.float32), convention.size_px, convention.resize_filter)


def _require_person(names: Sequence[int | str], inside: Masks) -> None:
    for name, mask in zip(names, inside, strict=True):
        if not mask.any():
            raise UserError(
                f"the mask of frame {name} is empty: no pixel of the person can be scored; leave "
                "the frame out, or fix its mask"
            )


def _stacked(frames: list[FrameU8]) -> np.ndarray:
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        shown = " and ".join(f"{width}x{height}" for height, width, _ in sorted(sizes)[:2])
        raise UserError(f"the frames have several sizes ({shown} px): resize them to one first")
    return np.stack(frames)
