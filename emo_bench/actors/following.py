"""Follow every face of a video from frame to frame, each in a crop of its own, from cut to cut."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from emo_bench.actors.crop import square_around
from emo_bench.actors.face_search import ONE_FACE_SHARE, detect_in, distance_in_sizes, search_faces
from emo_bench.tracking.landmarks import Detection, Landmarker

# The crop in which a face is followed, in longest sides of its box.
CROP_SCALE = 2.6
# A face is the same if it moved by less than this share of its size since the last frame, and its size changed less.
SAME_FACE_SHARE, SAME_FACE_SIZE = 0.7, 1.6
# New faces are searched this often. If no face is followed, every frame is searched at first, and the pause grows.
SEARCH_EVERY_S, LONGEST_PAUSE_S = 0.4, 2.0
# A face that is not found for so long is no longer followed.
LOST_AFTER_S = 0.4
MOST_FACES = 4
# A cut: the frames differ by this many levels (mean over small pictures), and by this many times what is usual.
CUT_LEVELS, CUT_TIMES, USUAL_FRAMES, SMALL_PX = 20.0, 4.0, 25, (32, 18)
# So many pictures of a face are kept to recognise the person, at least so far apart.
PICTURES, PICTURE_EVERY_S, PICTURE_PX = 8, 0.5, 200


@dataclass(frozen=True)
class FacePicture:
    """A small picture ``[H, W, 3]`` uint8 RGB around a face, and its 68 landmarks ``[68, 2]`` px in it."""

    image_rgb_u8: np.ndarray
    landmarks68: np.ndarray


@dataclass
class Tracklet:
    """One face that was followed without a gap of more than ``LOST_AFTER_S``.

    Attributes:
        by_frame: its detections by frame number, ascending.
        pictures: pictures of it, spread over its time.
    """

    by_frame: dict[int, Detection] = field(default_factory=dict)
    pictures: list[FacePicture] = field(default_factory=list)

    @property
    def last(self) -> Detection:
        return self.by_frame[self.last_frame]

    @property
    def last_frame(self) -> int:
        return next(reversed(self.by_frame))

    @property
    def weight(self) -> float:
        """Sum of the face's areas over the frames."""
        return sum(face.area_px for face in self.by_frame.values())


class FaceFollower:
    """Follows all faces of a video; give it every frame in order.

    A face is detected in each frame anew, in a square around the place where it was. MediaPipe's own video mode would
    follow one face only, and its filter delays the landmarks by half a frame and makes a talking mouth smaller
    (docs/tracking.md has the measurement). Noise is removed afterwards, without a delay.

    Attributes:
        tracklets: all faces, in the order in which they were found.
        cuts: numbers of the frames that begin a new shot.
    """

    def __init__(self, landmarker: Landmarker, fps: float) -> None:
        self.tracklets: list[Tracklet] = []
        self.cuts: list[int] = []
        self._landmarker = landmarker
        self._fps = fps
        self._active: list[Tracklet] = []
        self._number = -1
        self._next_search = 0
        self._pause = 1
        self._small: np.ndarray | None = None
        self._changes: deque[float] = deque(maxlen=USUAL_FRAMES)

    def see(self, frame_u8: np.ndarray) -> list[Detection]:
        """Take the next frame ``[H, W, 3]`` uint8 RGB and return its faces."""
        self._number += 1
        if self._is_cut(frame_u8):
            self.cuts.append(self._number)
            self._active, self._next_search, self._pause = [], self._number, 1
        for tracklet in self._active:
            self._follow(tracklet, frame_u8)
        self._part_twins()
        self._active = [t for t in self._active if self._number - t.last_frame <= self._frames(LOST_AFTER_S)]
        if self._number >= self._next_search:
            self._search(frame_u8)
        return [t.last for t in self._active if t.last_frame == self._number]

    def _is_cut(self, frame_u8: np.ndarray) -> bool:
        from emo_bench.system import opencv as cv2

        small = np.asarray(cv2.resize(frame_u8, SMALL_PX, interpolation=cv2.INTER_AREA), dtype=np.float32)
        if self._small is None:
            self._small = small
            return False
        change = float(np.abs(small - self._small).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._small = small
        cut = change > max(CUT_LEVELS, CUT_TIMES * usual)
        if not cut:
            self._changes.append(change)
        return cut

    def _follow(self, tracklet: Tracklet, frame_u8: np.ndarray) -> None:
        before = tracklet.last
        height, width = frame_u8.shape[:2]
        crop = square_around(before.box, CROP_SCALE, width, height)
        found = [face for face in detect_in(self._landmarker, frame_u8, crop) if _moved_little(before, face)]
        if found:
            self._keep(tracklet, min(found, key=lambda face: distance_in_sizes(before, face)), frame_u8)

    def _part_twins(self) -> None:
        """Where two tracklets found the same face, leave it to the older one."""
        here = [t for t in self._active if t.last_frame == self._number]
        for k, younger in enumerate(here):
            if any(distance_in_sizes(older.last, younger.last) < ONE_FACE_SHARE for older in here[:k]):
                del younger.by_frame[self._number]
        self._active = [t for t in self._active if t.by_frame]

    def _search(self, frame_u8: np.ndarray) -> None:
        """Add faces that are not followed yet; continue a face that was just lost if it is near where it was."""
        lost = [t for t in self._active if t.last_frame != self._number]
        seen = [t.last for t in self._active if t.last_frame == self._number]
        for face in search_faces(self._landmarker, frame_u8, zoom=not self._active):
            if any(distance_in_sizes(face, other) < ONE_FACE_SHARE for other in seen):
                continue
            near = [t for t in lost if _moved_little(t.last, face)]
            if near:
                tracklet = min(near, key=lambda t: distance_in_sizes(t.last, face))
                lost.remove(tracklet)
            elif len(self._active) < MOST_FACES:
                tracklet = Tracklet()
                self.tracklets.append(tracklet)
                self._active.append(tracklet)
            else:
                continue
            self._keep(tracklet, face, frame_u8)
            seen.append(face)
        self._pause = self._frames(SEARCH_EVERY_S) if self._active else self._pause * 2
        self._next_search = self._number + min(self._pause, self._frames(LONGEST_PAUSE_S))

    def _keep(self, tracklet: Tracklet, face: Detection, frame_u8: np.ndarray) -> None:
        tracklet.by_frame[self._number] = face
        if (self._number - next(iter(tracklet.by_frame))) % self._frames(PICTURE_EVERY_S) == 0:
            tracklet.pictures.append(_picture(face, frame_u8))
            if len(tracklet.pictures) > PICTURES:
                # Every second one: they stay spread over the tracklet's time.
                del tracklet.pictures[1::2]

    def _frames(self, seconds: float) -> int:
        return max(round(seconds * self._fps), 1)


def _moved_little(before: Detection, now: Detection) -> bool:
    size = (now.area_px / max(before.area_px, 1e-9)) ** 0.5
    return distance_in_sizes(before, now) < SAME_FACE_SHARE and 1 / SAME_FACE_SIZE < size < SAME_FACE_SIZE


def _picture(face: Detection, frame_u8: np.ndarray) -> FacePicture:
    from emo_bench.system import opencv as cv2

    height, width = frame_u8.shape[:2]
    crop = square_around(face.box, 1.8, width, height)
    points = crop.to_crop(face.landmarks68, PICTURE_PX)
    image = cv2.resize(crop.cut(frame_u8), (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA)
    return FacePicture(np.asarray(image), points.astype(np.float32))
