"""A photograph as a drawing: flat colours in a few tones, and ink lines along its edges.

Flat colours as in "Real-time video abstraction" (Winnemöller, Olsen and Gooch 2006), lines by the soft threshold of
"XDoG" (Winnemöller, Kyprianidis and Olsen 2012). The contrast of a line is relative to the brightness around it, so
that dark skin is drawn as light skin is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]

# Sizes over the side of the picture.
FLAT_WINDOW, FLAT_REACH = 0.043, 0.016
AROUND = 0.047
# Difference of 8-bit colours that the smoothing keeps as an edge.
FLAT_COLOURS = 60.0
SMOOTHINGS = 2
# Steepness of the border between two tones, relative to the width of a tone.
BORDER = 3.0
# The wider of the two Gaussians of a line over the narrower.
WIDER = 1.6
SHARPNESS = 60.0
# Brightness below which the contrast of a line is not relative any more; black noise would get lines.
DARKEST = 0.12
INK = 0.05


def drawn(
    picture_u8: Picture, tones: int = 4, saturation: float = 1.8, line_share: float = 0.006, line_contrast: float = 0.02
) -> Picture:
    """Draw ``uint8 [S, S, 3]`` RGB; the result has the same shape.

    Args:
        picture_u8: the photograph.
        tones: number of steps of brightness; 0 keeps it continuous.
        saturation: factor on the distance of colours from grey.
        line_share: width of the lines over the side of the picture; 0 draws none.
        line_contrast: least contrast, relative to the brightness around, of an edge that gets a line.
    """
    from emo_bench.system import opencv as cv2

    side = picture_u8.shape[0]
    flat = picture_u8
    for _ in range(SMOOTHINGS):
        flat = cv2.bilateralFilter(flat, 2 * round(FLAT_WINDOW * side / 2) + 1, FLAT_COLOURS, FLAT_REACH * side)
    lab = cv2.cvtColor(flat.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    lab[..., 0] = 100.0 * in_tones(lab[..., 0] / 100.0, tones)
    lab[..., 1:] *= saturation
    colours = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0.0, 1.0)
    if line_share > 0:
        brightness = cv2.cvtColor(picture_u8.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)[..., 0] / 100.0
        ink = lines(brightness, line_share * side, line_contrast)[..., None]
        colours = (1.0 - ink) * colours + ink * INK
    return np.asarray(np.round(255.0 * colours), dtype=np.uint8)


def in_tones(brightness: Plane, tones: int) -> Plane:
    """Bring brightness in [0, 1] softly to the middles of ``tones`` equal steps; 0 steps change nothing."""
    if tones == 0:
        return brightness
    middle = (np.minimum(np.floor(brightness * tones), tones - 1) + 0.5) / tones
    soft = np.tanh(BORDER * (brightness - middle) * tones) / np.tanh(BORDER / 2)
    return np.asarray(middle + 0.5 / tones * soft, dtype=np.float32)


def lines(brightness: Plane, width_px: float, contrast: float) -> Plane:
    """Return how much ink there is at each pixel, in [0, 1]: on the dark side of the edges of ``[S, S]`` in [0, 1]."""
    from emo_bench.system import opencv as cv2

    def blurred(reach_px: float) -> Plane:
        return np.asarray(cv2.GaussianBlur(brightness, (0, 0), reach_px), dtype=np.float32)

    around = blurred(AROUND * brightness.shape[0]) + DARKEST
    darker = (blurred(WIDER * width_px) - blurred(width_px)) / around
    return np.asarray(np.maximum(np.tanh(SHARPNESS * (darker - contrast)), 0.0), dtype=np.float32)
