"""Find faces in a frame: in the whole frame or, where they are small in it, in parts of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emo_bench.actors.crop import Crop
from emo_bench.tracking.landmarks import Detection, Landmarker

# MediaPipe's detector sees a picture of 128 px. It finds a face that is at least a tenth of the picture's longer side.
TILE_SHARES = (1, 2, 4)
# A frame is searched in squares only if its sides differ by more than this, or for smaller squares.
NEARLY_SQUARE = 1.2
LEAST_TILE_PX = 96
# A larger picture is reduced to this: the networks of MediaPipe see less than 256 px of a face.
MOST_PX = 640
# Two detections are of one face if their middles are nearer than this share of its size.
ONE_FACE_SHARE = 0.5


def search_faces(landmarker: Landmarker, frame_u8: np.ndarray, zoom: bool = True) -> list[Detection]:
    """Return the faces of a frame ``[H, W, 3]`` uint8 RGB, the largest first.

    Args:
        zoom: if the whole frame shows no face, search overlapping squares of its shorter side, then of a half and of
            a quarter of it, until a size shows one.
    """
    height, width = frame_u8.shape[:2]
    found = detect_in(landmarker, frame_u8, None)
    if not found and zoom:
        for share in TILE_SHARES:
            side = min(height, width) // share
            if side < LEAST_TILE_PX or (share == 1 and max(height, width) < NEARLY_SQUARE * side):
                continue
            found = [face for tile in _tiles(width, height, side) for face in detect_in(landmarker, frame_u8, tile)]
            if found:
                break
    return _each_once(found)


def detect_in(landmarker: Landmarker, frame_u8: np.ndarray, crop: Crop | None) -> list[Detection]:
    """Return the faces in a crop of a frame (None: the whole frame), in the frame's pixels."""
    from emo_bench.system import opencv as cv2

    part = frame_u8 if crop is None else crop.cut(frame_u8)
    share = min(MOST_PX / max(part.shape[:2]), 1.0)
    if share < 1.0:
        size = (round(part.shape[1] * share), round(part.shape[0] * share))
        scale = np.array(part.shape[1::-1]) / size
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
    else:
        scale = np.ones(2)
    corner = np.zeros(2) if crop is None else np.array((crop.left, crop.top))
    return [
        replace(face, landmarks478=(face.landmarks478 * scale + corner).astype(np.float32))
        for face in landmarker.detect_all(np.ascontiguousarray(part))
    ]


def center(face: Detection) -> np.ndarray:
    """Return the middle of a face's box, ``[2]`` px."""
    left, top, right, bottom = face.box
    return np.array(((left + right) / 2, (top + bottom) / 2))


def distance_in_sizes(first: Detection, second: Detection) -> float:
    """Return how far the middles of two faces are apart, in sizes of the larger one."""
    size = max(first.area_px, second.area_px, 1e-9) ** 0.5
    return float(np.linalg.norm(center(first) - center(second))) / size


def _tiles(width: int, height: int, side: int) -> Iterator[Crop]:
    """Return squares that overlap by at least a half, so that a face on the border of one is inside another."""
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield Crop(left, top, side)


def _starts(length: int, side: int) -> list[int]:
    count = 1 + -(-2 * (length - side) // side)
    return [round(k * (length - side) / max(count - 1, 1)) for k in range(count)]


def _each_once(found: list[Detection]) -> list[Detection]:
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.area_px):
        if all(distance_in_sizes(face, other) > ONE_FACE_SHARE for other in kept):
            kept.append(face)
    return kept
