"""A palette of colours laid on the brightness of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emo_bench.errors import UserError

Picture = NDArray[np.uint8]


def recoloured(picture_u8: Picture, palette: tuple[str, ...], contrast: float = 1.0) -> Picture:
    """Map the brightness of ``uint8 [H, W, 3]`` to a palette from dark to bright, with linear interpolation.

    Args:
        picture_u8: RGB.
        palette: at least two colours as ``#rrggbb``.
        contrast: factor on the spread of brightness around its median; values beyond the palette's ends are clipped.

    Raises:
        UserError: a colour cannot be read, or there is only one.
    """
    try:
        colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in palette], dtype=np.float64)
    except (ValueError, IndexError) as error:
        raise UserError(f"palette {', '.join(palette)}: colours are written #rrggbb") from error
    if len(colours) < 2:
        raise UserError("palette: it takes at least two colours, dark to bright")
    brightness = picture_u8.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0
    middle = float(np.median(brightness))
    level = np.clip(middle + contrast * (brightness - middle), 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(colours))
    laid = np.stack([np.interp(level, stops, colours[:, channel]) for channel in range(3)], axis=-1)
    return np.asarray(np.round(laid), dtype=np.uint8)
