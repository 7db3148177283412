"""A video that lies on its side or head without saying so: by how many quarter turns its picture comes upright."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from emo_bench.actors.face_search import detect_in
from emo_bench.tracking.landmarks import Detection, Landmarker

FOREHEAD, CHIN = 10, 152
# Frames that are tried upside down, and by which share of them more faces must be found then.
TRIED_FRAMES, MORE_SHARE = 12, 0.25


def quarter_turns(faces: Sequence[Detection | None], samples: Sequence[np.ndarray], landmarker: Landmarker) -> int:
    """Return how often the video's frames must be turned by 90 degrees counterclockwise: 0, 1, 2 or 3.

    MediaPipe finds a face that lies on its side and says how it lies. In a face upside down it often sees an upright
    one, forehead for chin, but in fewer frames than after a turn.

    Args:
        faces: the person's face in each frame, or None.
        samples: frames ``[H, W, 3]`` uint8 RGB that are spread over the video.
    """
    found = Counter(_lies(face) for face in faces if face is not None)
    if found:
        lies, count = found.most_common(1)[0]
        if lies and 2 * count > found.total():
            return -lies % 4
    tried = samples[:: max(-(-len(samples) // TRIED_FRAMES), 1)]
    as_they_are, upside_down = (
        sum(bool(detect_in(landmarker, turned(frame, turns), None)) for frame in tried) for turns in (0, 2)
    )
    return 2 if tried and upside_down - as_they_are >= MORE_SHARE * len(tried) else 0


def turned(frame_u8: np.ndarray, turns: int) -> np.ndarray:
    """Turn a frame ``[H, W, 3]`` by quarter turns counterclockwise."""
    return np.ascontiguousarray(np.rot90(frame_u8, turns))


def _lies(face: Detection) -> int:
    """Return by how many quarter turns counterclockwise a face is turned."""
    right, down = face.landmarks478[CHIN] - face.landmarks478[FOREHEAD]
    return round(float(np.degrees(np.arctan2(right, down))) / 90.0) % 4
