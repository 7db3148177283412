"""How a player shows a decoded frame: turned, mirrored, with square pixels, in one size."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av

# Transfer curves of HDR (ITU-T H.273).
HDR_CURVES = {16: "PQ", 18: "HLG"}
# Pixels that differ less from squares are squares.
SQUARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Display:
    """The way from a decoded frame to the picture that a player shows.

    Attributes:
        stored_px: width and height of the first frame; frames of another size are brought to it.
        square_px: the same with square pixels.
        mirrored: whether left and right change places, before the turn.
        rotation_deg: counterclockwise: 0, 90, 180 or 270.
    """

    stored_px: tuple[int, int]
    square_px: tuple[int, int]
    mirrored: bool
    rotation_deg: int

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.square_px[::-1] if self.rotation_deg in (90, 270) else self.square_px

    def show(self, image_rgb_u8: np.ndarray) -> np.ndarray:
        """Return the picture of a frame ``[H, W, 3]`` uint8 RGB that has ``square_px``."""
        upright = image_rgb_u8[:, ::-1] if self.mirrored else image_rgb_u8
        return np.ascontiguousarray(np.rot90(upright, self.rotation_deg // 90))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the frames, one sentence each."""
        notes = []
        if self.rotation_deg:
            notes.append(f"the file asks to be turned by {self.rotation_deg} degrees counterclockwise: done")
        if self.mirrored:
            notes.append("the file asks to be mirrored: done")
        if self.square_px != self.stored_px:
            width, height = self.square_px
            notes.append(f"the file's pixels are not square: frames were brought to {width}x{height}")
        return tuple(notes)


def display_of(first: av.VideoFrame, pixel_aspect: Fraction | None) -> Display:
    """Return how frames like the first one are shown.

    Args:
        pixel_aspect: width of a pixel divided by its height; None if the file does not say.
    """
    mirrored, rotation_deg = _turn(first)
    aspect = float(pixel_aspect) if pixel_aspect else 1.0
    stored = square = (first.width, first.height)
    if aspect > 0 and abs(aspect - 1.0) > SQUARE_TOLERANCE:
        # The longer side grows, so that nothing is lost.
        square = (
            (round(first.width * aspect), first.height) if aspect > 1 else (first.width, round(first.height / aspect))
        )
    return Display(stored, square, mirrored, rotation_deg)


def hdr_note(first: av.VideoFrame) -> str | None:
    """Return a sentence about the colours of HDR, or None."""
    curve = HDR_CURVES.get(int(first.color_trc))
    if curve is None:
        return None
    return f"the video is HDR ({curve}): its colours were read without tone mapping and look pale; give an SDR copy"


def _turn(first: av.VideoFrame) -> tuple[bool, int]:
    data: Any = first.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, round(first.rotation / 90) * 90 % 360
    a, b, _, c, d = np.frombuffer(bytes(data)[:36], dtype="<i4")[:5].astype(float)
    mirrored = a * d - b * c < 0
    if mirrored:
        # The matrix is a mirroring of left and right, followed by a turn.
        a, b = -a, -b
    # (x, y) becomes (a x + c y, b x + d y), with y downwards: this turns counterclockwise by the negative angle.
    degrees = -float(np.degrees(np.arctan2(b, a)))
    return bool(mirrored), round(degrees / 90) * 90 % 360
