"""The space-time conditioning volume: renderings of the tracked head in the frames up to the current one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from baselines.head_render import HeadLook, HeadSurface, last_with_face, shaded
from emo_bench.actors.track import Track
from emo_bench.methods.training.frames import to_unit_range

# Channels of a frame: rendering 3, correspondence 3, gaze 3.
CHANNELS = 9
# MediaPipe's landmarks around each eye's opening, its iris centre and the four points on the iris' rim.
EYES: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
    ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246), 468, (469, 470, 471, 472)),
    ((263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466), 473, (474, 475, 476, 477)),
)
SCLERA, PUPIL = (255, 255, 255), (0, 0, 255)
# cv2 takes coordinates with this number of fractional bits.
SUBPIXEL_BITS = 4


class Conditioning:
    """Conditioning volumes of a track. Maps of single frames are kept in memory, because windows overlap.

    Args:
        track: only its landmarks and poses are read.
        look: colour and light of the person.
        size_px: side of the maps.
        window: number of frames in a volume, the current one last.
        keep: number of single frames to keep, None for all.
    """

    def __init__(self, track: Track, look: HeadLook, size_px: int, window: int, keep: int | None = None) -> None:
        self._track, self._look, self._size = track, look, size_px
        self._window, self._keep = window, keep
        self._surface = HeadSurface(track, size_px)
        self._shown = last_with_face(track.face_found)
        self._maps: OrderedDict[int, np.ndarray] = OrderedDict()

    def batch(self, indices: Sequence[int] | np.ndarray, device: str = "cpu") -> Tensor:
        """Return volumes ``[B, 9 * window, S, S]`` float32 in [-1, 1], oldest frame first, channels last in memory."""
        volumes = [np.concatenate([self.frame(i) for i in self.window_of(int(k))]) for k in indices]
        stacked = torch.from_numpy(np.stack(volumes)).contiguous(memory_format=torch.channels_last)
        return to_unit_range(stacked.to(device))

    def window_of(self, index: int) -> list[int]:
        """Return the frames of the volume of frame ``index``; before the video starts, its first frame is repeated."""
        return [max(index - back, 0) for back in range(self._window - 1, -1, -1)]

    def frame(self, index: int) -> np.ndarray:
        """Return the maps of one frame ``[9, S, S]`` uint8: rendering, (u, v, mask), gaze."""
        index = int(self._shown[index])
        found = self._maps.get(index)
        if found is not None:
            self._maps.move_to_end(index)
            return found
        surface = self._surface.at(index)
        correspondence = np.dstack((np.rint(surface.uv * 255.0), surface.mask * 255.0)).astype(np.uint8)
        eyes = gaze_map(self._track.landmarks478[index] * (self._size / self._track.size_px), self._size)
        maps = np.dstack((shaded(self._look, surface), correspondence, eyes)).transpose(2, 0, 1)
        self._maps[index] = np.ascontiguousarray(maps)
        if self._keep is not None and len(self._maps) > self._keep:
            self._maps.popitem(last=False)
        return self._maps[index]


def gaze_map(landmarks478_px: np.ndarray, size_px: int) -> np.ndarray:
    """Draw white eye openings with blue irises on black, ``[S, S, 3]`` uint8 RGB.

    Args:
        landmarks478_px: ``[478, 2]`` MediaPipe landmarks at ``size_px``.
    """
    from emo_bench.system import opencv as cv2

    picture = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    for opening, iris, rim in EYES:
        eye, disc = np.zeros_like(picture), np.zeros_like(picture)
        outline = _fixed_point(landmarks478_px[list(opening)])
        cv2.fillPoly(eye, [outline], SCLERA, cv2.LINE_AA, SUBPIXEL_BITS)
        center = landmarks478_px[iris]
        radius = float(np.linalg.norm(landmarks478_px[list(rim)] - center, axis=1).mean())
        x, y = (int(value) for value in _fixed_point(center))
        cv2.circle(disc, (x, y), round(radius * 2**SUBPIXEL_BITS), SCLERA, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
        inside = disc.astype(np.float32) / 255.0
        coloured = eye * (1.0 - inside) + (eye[..., :1] / 255.0) * inside * np.array(PUPIL, np.float32)
        picture = np.maximum(picture, np.rint(coloured).astype(np.uint8))
    return picture


def _fixed_point(points_px: np.ndarray) -> np.ndarray:
    # Pixel centres are at half-integers here, at integers in OpenCV.
    return np.rint((points_px - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
