"""Follow one person's face through a video, and find the crop that holds head and shoulders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emo_bench.tracking.landmarks import Detection

# A face is the same if it moved by less than this share of its size since it was last found.
SAME_FACE_SHARE = 0.7
# A second person is reported if a second face is in view for this share of the video.
COMPANY_SHARE = 0.05
# The square for head and shoulders around the landmarks' box, in heights of that box.
ABOVE, BESIDE, BELOW, LEAST_SIDE = 0.45, 0.75, 0.85, 2.3
MOTION_PERCENTILES = (3.0, 97.0)


@dataclass
class _Path:
    """One face over the video: its detections by frame number."""

    by_frame: dict[int, Detection] = field(default_factory=dict)
    last: Detection | None = None

    @property
    def weight(self) -> float:
        return sum(face.area_px for face in self.by_frame.values())


def follow_largest(found: Sequence[Sequence[Detection]]) -> tuple[list[Detection | None], bool]:
    """Follow the person whose face fills most of the video.

    Args:
        found: all faces of each frame.

    Returns:
        That person's face in each frame, or None, and whether another person was in view for long.
    """
    faces: list[_Path] = []
    for number, detections in enumerate(found):
        free = list(faces)
        for detection in sorted(detections, key=lambda d: -d.area_px):
            path = _nearest(free, detection)
            if path is None:
                path = _Path()
                faces.append(path)
            else:
                free.remove(path)
            path.by_frame[number] = detection
            path.last = detection
    faces.sort(key=lambda path: -path.weight)
    chosen: dict[int, Detection] = {}
    for path in faces:
        # A path that never overlaps with the chosen one is the same person after a cut or a missed detection.
        if not chosen.keys() & path.by_frame.keys():
            chosen |= path.by_frame
    crowded = sum(len(detections) > 1 for detections in found)
    return [chosen.get(number) for number in range(len(found))], crowded > COMPANY_SHARE * max(len(found), 1)


def _nearest(paths: list[_Path], detection: Detection) -> _Path | None:
    best, best_distance = None, SAME_FACE_SHARE * detection.area_px**0.5
    for path in paths:
        assert path.last is not None
        distance = float(np.linalg.norm(_center(path.last) - _center(detection)))
        if distance < best_distance:
            best, best_distance = path, distance
    return best


def _center(detection: Detection) -> np.ndarray:
    left, top, right, bottom = detection.box
    return np.array(((left + right) / 2, (top + bottom) / 2))


@dataclass(frozen=True)
class Crop:
    """A square of the picture: left edge, top edge and side in px."""

    left: int
    top: int
    side: int

    def to_crop(self, points: np.ndarray, size_px: int) -> np.ndarray:
        """Convert picture coordinates ``[..., 2]`` to coordinates in the crop resized to ``size_px``."""
        return (points - np.array((self.left, self.top))) * (size_px / self.side)

    def cut(self, frame_u8: np.ndarray) -> np.ndarray:
        """Return the crop ``[side, side, 3]`` of a frame."""
        return frame_u8[self.top : self.top + self.side, self.left : self.left + self.side]


def head_and_shoulders(boxes: np.ndarray, width: int, height: int) -> Crop:
    """Return one static square that holds head and shoulders in all frames, within the limits of the picture.

    Args:
        boxes: ``[N, 4]`` px, the landmarks' left, top, right, bottom in each frame.
    """
    face = float(np.median(boxes[:, 3] - boxes[:, 1]))
    low, high = np.percentile(boxes, MOTION_PERCENTILES, axis=0)
    left, right = low[0] - BESIDE * face, high[2] + BESIDE * face
    top, bottom = low[1] - ABOVE * face, high[3] + BELOW * face
    side = int(min(max(right - left, bottom - top, LEAST_SIDE * face), width, height)) // 2 * 2
    x = (left + right - side) / 2
    # The whole head must be inside; if the square is too small for both, the shoulders are cut off.
    y = top if bottom - top >= side else (top + bottom - side) / 2
    return Crop(int(np.clip(round(x), 0, width - side)), int(np.clip(round(y), 0, height - side)), side)
