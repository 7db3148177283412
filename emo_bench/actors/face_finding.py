"""Find the person of a video in every frame: follow all faces, choose one person, remove the landmarks' noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from emo_bench.actors.drawn import drawn_note
from emo_bench.actors.following import FaceFollower, FacePicture, Tracklet
from emo_bench.actors.people import Chosen, choose_person
from emo_bench.text.ranges import ranges
from emo_bench.tracking.face_embedding import SAME_PERSON, FaceEmbedding, embedding_missing
from emo_bench.tracking.fit_motion import smooth
from emo_bench.tracking.landmarks import Detection, Landmarker

# Standard deviation of the Gaussian window over landmarks in seconds: with the bundled actors' true landmarks as the
# measure, it has the least error (benchmarks/landmark_noise.py).
LANDMARK_S = 0.028
# Frames in which others are in view beside the person, as a share of the video, below which no note is needed.
COMPANY_SHARE = 0.05
BLOCK_FRAMES = 500


@dataclass(frozen=True)
class Person:
    """The person of a video.

    Attributes:
        faces: the face in each frame, or None.
        notes: other facts that the user should know, one sentence each.
    """

    faces: list[Detection | None]
    notes: tuple[str, ...]


def find_person(
    frames: Iterable[np.ndarray], landmarker: Landmarker, fps: float, advance: Callable[[], None] = lambda: None
) -> Person:
    """Find the person whose face fills most of a video's frames ``[H, W, 3]`` uint8 RGB."""
    follower, count = FaceFollower(landmarker, fps), 0
    for frame in frames:
        follower.see(frame)
        count += 1
        advance()
    network = FaceEmbedding() if len(follower.tracklets) > 1 and embedding_missing() is None else None
    embed = (lambda p: network.embed(p.image_rgb_u8, p.landmarks68)) if network else None
    chosen = choose_person(follower.tracklets, count, embed, SAME_PERSON)
    joined, cuts = len(follower.tracklets) > 1 and not chosen.compared, follower.cuts
    drawn = drawn_note(_pictures_of(chosen, follower.tracklets))
    # The other faces of a long video are not needed any more.
    del follower
    _remove_noise(chosen.faces, cuts, fps)
    notes = (*_notes(chosen, cuts, count, joined), *((drawn,) if drawn else ()))
    return Person(chosen.faces, notes)


def _pictures_of(chosen: Chosen, tracklets: Sequence[Tracklet]) -> list[FacePicture]:
    """Return the kept pictures of the chosen person."""
    his = [tracklet for tracklet in tracklets if chosen.faces[tracklet.last_frame] is tracklet.last]
    return [picture for tracklet in his for picture in tracklet.pictures]


def _notes(chosen: Chosen, cuts: Sequence[int], count: int, joined: bool) -> Iterable[str]:
    if len(chosen.beside) > COMPANY_SHARE * max(count, 1):
        yield "two people are in view: the one whose face is larger was taken"
    if chosen.instead:
        yield f"another person is in view, and the chosen one is not, at {_frames(chosen.instead)}; no split uses them"
    within = tuple(cut for cut in cuts if chosen.faces[cut - 1] is not None and chosen.faces[cut] is not None)
    if within:
        yield f"a new shot begins at {_frames(within)}" + ("" if joined else ", by its face of the same person")
    if joined:
        yield f"whether all faces are of one person was not checked: this {embedding_missing()}"


def _frames(numbers: tuple[int, ...]) -> str:
    return f"frame{'s' if len(numbers) > 1 else ''} {ranges(numbers)}"


def _remove_noise(faces: list[Detection | None], cuts: Sequence[int], fps: float) -> None:
    """Smooth the landmarks in place over time, without a delay, from cut to cut."""
    sigma_frames = LANDMARK_S * fps
    # A Gaussian window ends at four standard deviations.
    reach = int(4.0 * sigma_frames) + 2
    for first, end in pairwise([0, *cuts, len(faces)]):
        waiting: dict[int, Detection] = {}
        # Blocks keep the arrays of a long video small; the frames beside a block must still be as they were found.
        for start in range(first, end, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, end)
            near = range(max(start - reach, first), min(stop + reach, end))
            still = _smoothed([faces[number] for number in near], near, sigma_frames)
            waiting |= {number: face for number, face in still.items() if start <= number < stop}
            # The next block needs the last frames as they were found.
            _put({number: waiting.pop(number) for number in list(waiting) if number < stop - reach}, faces)
        _put(waiting, faces)


def _smoothed(faces: Sequence[Detection | None], numbers: range, sigma_frames: float) -> dict[int, Detection]:
    seen = [(number, face) for number, face in zip(numbers, faces, strict=True) if face is not None]
    if not seen:
        return {}
    points = np.stack([face.landmarks478 for _, face in seen]).astype(np.float64)
    still = smooth(points, np.array([number for number, _ in seen]), sigma_frames).astype(np.float32)
    return {number: replace(face, landmarks478=own) for (number, face), own in zip(seen, still, strict=True)}


def _put(found: dict[int, Detection], faces: list[Detection | None]) -> None:
    for number, face in found.items():
        faces[number] = face
