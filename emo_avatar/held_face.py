"""A restyled picture whose face keeps the features of the frame: style networks draw eyes and mouths of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emo_avatar.face_structure import face_region

Picture = NDArray[np.uint8]

# Half the side of the guided filter's windows, and the width of the border of the face, over the side of the picture.
REACH_SHARE = 0.031
BORDER_SHARE = 0.016
# Contrast in [0, 1] below which a window of the frame is flat.
FLAT_CONTRAST = 0.05


def with_held_face(restyled_u8: Picture, source_u8: Picture, landmarks68_px: NDArray[np.floating]) -> Picture:
    """Take back what a style did to the features of a face; its colours and light stay.

    On face and neck the restyled picture goes through the guided filter (He, Sun and Tang 2013) with the frame as the
    guide. In each window the result is an affine function of the frame's colours, so that it has edges only where the
    frame has them: features return to their places, and lines that the style has invented on skin vanish.

    Args:
        restyled_u8, source_u8: ``[S, S, 3]`` RGB, the frame after and before.
        landmarks68_px: ``[68, 2]`` at that size. If one is not finite, the restyled picture is returned.
    """
    from emo_bench.system import opencv as cv2

    if not np.isfinite(landmarks68_px).all():
        return restyled_u8
    side = restyled_u8.shape[0]
    held = cv2.ximgproc.guidedFilter(
        guide=np.ascontiguousarray(source_u8),
        src=restyled_u8.astype(np.float32),
        radius=max(round(REACH_SHARE * side), 1),
        eps=(255.0 * FLAT_CONTRAST) ** 2,
    )
    border_px = BORDER_SHARE * side
    face = cv2.dilate(face_region(landmarks68_px, side).astype(np.float32), np.ones((2 * round(border_px) + 1,) * 2))
    share = cv2.GaussianBlur(face, (0, 0), border_px)[..., None]
    return np.asarray(np.clip(np.round(share * held + (1.0 - share) * restyled_u8), 0, 255), dtype=np.uint8)
