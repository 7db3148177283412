"""A batch of frames, its reference and its masks, prepared as a scoring convention says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_bench.errors import UserError
from emo_bench.metrics.batch import FramesU8, Masks, Unrounded
from emo_bench.metrics.conventions import Compositing, Convention
from emo_bench.metrics.preparing import LEVELS, blended, lay_on, resized, rounded
from emo_bench.pictures.reading import FrameU8
from emo_bench.video.masks import HALF, LevelsU8

# A background within this many levels of the expected one counts as that one; more than this share must not be another.
NEARLY, MOST = 16, 0.5
# The masks of the face for a run are made at the convention's size; all else has the size of the frames.
Prepared = tuple[FramesU8, FramesU8 | None, Sequence[int | str], Masks | None, LevelsU8 | None, Unrounded | None]


def prepared(names: Sequence[int | str], parts: Sequence[list[FrameU8] | None], convention: Convention) -> Prepared:
    """Prepare a batch for the convention.

    Args:
        names: the names of the B frames.
        parts: uint8 ``[H, W, 3]`` frames, reference (or None) and masks (or None), 0 to 255.
        convention: what to do.

    Returns:
        What ``Scorer.add`` takes: frames and reference, uint8 ``[B, H, W, 3]``, the names, the region, bool
        ``[B, H, W]``, or None, the masks as they were given, uint8 ``[B, H, W]``, or None, and frames and reference
        before they were rounded, or None.

    Raises:
        UserError: sizes differ, or a mask is empty.
    """
    given = [None if part is None else _stacked(part) for part in parts]
    frames, reference, masks = (None if part is None else _of_size(part, convention) for part in given)
    assert frames is not None
    region, levels = None, None
    if masks is not None and given[2] is not None:
        levels = given[2][..., 0]
        inside = _inside(names, masks, frames)
        region = None if convention.region == "full frame" else inside
        if not convention.changes_reference_only:
            frames = lay_on(frames, inside, convention.background)
            reference = None if reference is None else lay_on(reference, inside, convention.background)
        elif reference is not None:
            reference = _on_background(reference, masks[..., 0] if convention.blends else inside * 255.0, convention)
    whole, whole_reference = rounded(frames), None if reference is None else rounded(reference)
    unrounded = None
    if whole is not frames or whole_reference is not reference:
        fractions = None if reference is None else reference.astype(np.float32)
        unrounded = Unrounded(frames.astype(np.float32), fractions)
    return whole, whole_reference, names, region, levels, unrounded


class Surroundings:
    """Looks whether renderings bring the background that the convention gives to the reference alone."""

    def __init__(self, convention: Convention) -> None:
        self._convention = convention
        self._outside = self._other = 0

    def add(self, parts: Sequence[list[FrameU8] | None]) -> None:
        """Count a batch's pixels that are surely not the person's: frames, reference and masks as they were read."""
        frames, masks = parts[0], parts[2]
        if not self._convention.changes_reference_only or frames is None or masks is None:
            return
        level = LEVELS[self._convention.background]
        for frame, mask in zip(frames, masks, strict=True):
            if frame.shape == mask.shape:
                colours = frame[mask[..., 0] == 0].astype(np.int16)
                self._outside += len(colours)
                self._other += int((np.abs(colours - level) > NEARLY).any(axis=1).sum())

    def notes(self) -> list[str]:
        """Return one sentence if most of the renderings' background is another one."""
        share = self._other / self._outside if self._outside else 0.0
        if share <= MOST:
            return []
        name, background = self._convention.name, self._convention.background
        return [
            f"{share:.0%} of the frames' background is not {background}: {name} changes only the reference, so the "
            f"background counts as an error; render on {background}, or cut both sides with --background {background} "
            "and no convention"
        ]


def _on_background(reference: np.ndarray, mattes: np.ndarray, convention: Convention) -> np.ndarray:
    laid = blended(reference, mattes, convention.background)
    if convention.compositing == Compositing.SOFT:
        return laid
    return laid.astype(np.uint8) if convention.compositing == Compositing.SOFT_DOWN else rounded(laid)


def _inside(names: Sequence[int | str], masks: np.ndarray, frames: np.ndarray) -> Masks:
    """Return which pixels are the person's; every frame must have some."""
    height, width = masks.shape[1:3]
    if masks.shape[:3] != frames.shape[:3]:
        raise UserError(f"masks are {width}x{height} px, frames {frames.shape[2]}x{frames.shape[1]}")
    inside: Masks = masks[..., 0] >= HALF
    _require_person(names, inside)
    return inside


def _of_size(frames: FramesU8, convention: Convention) -> np.ndarray:
    """Resize in float32, which keeps the fractions of levels."""
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
