"""Tell which of the faces of a video belong to one person, and choose the person whom the video is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from emo_bench.actors.following import FacePicture, Tracklet
from emo_bench.tracking.landmarks import Detection

# Another person is mentioned if his face is in view for at least so many frames.
LEAST_COMPANY_FRAMES = 3
Embed = Callable[[FacePicture], np.ndarray]


@dataclass(frozen=True)
class Chosen:
    """The person whose face fills most of a video.

    Attributes:
        faces: his face in each frame, or None.
        beside: numbers of the frames in which others are in view beside him.
        instead: numbers of the frames in which others are in view and he is not.
        compared: True if faces before and after a gap were recognised by a network; False if there was no need, or no
            network.
    """

    faces: list[Detection | None]
    beside: tuple[int, ...]
    instead: tuple[int, ...]
    compared: bool


def choose_person(tracklets: Sequence[Tracklet], frames: int, embed: Embed | None, same_person: float) -> Chosen:
    """Join tracklets of one person and return the person whose face fills most of the video.

    Args:
        frames: the number of frames of the video.
        embed: computes the embedding of a face; None if there is no network. Then tracklets that are never in view
            together count as one person.
        same_person: embeddings of one person are nearer than this.
    """
    several = len(tracklets) > 1
    people = _joined(tracklets, embed if several else None, same_person)
    if not people:
        return Chosen([None] * frames, (), (), False)
    person = max(people, key=lambda person: sum(t.weight for t in person))
    his: dict[int, Detection] = {}
    for tracklet in person:
        his |= tracklet.by_frame
    others: set[int] = set()
    for other in people:
        seen = {number for tracklet in other for number in tracklet.by_frame}
        if other is not person and len(seen) >= LEAST_COMPANY_FRAMES:
            others |= seen
    return Chosen(
        [his.get(number) for number in range(frames)],
        tuple(sorted(others & his.keys())),
        tuple(sorted(others - his.keys())),
        several and embed is not None,
    )


def _joined(tracklets: Sequence[Tracklet], embed: Embed | None, same_person: float) -> list[list[Tracklet]]:
    """Put each tracklet, the largest first, to the nearest person who is never in view beside it."""
    people: list[list[Tracklet]] = []
    embeddings = {id(t): [embed(p) for p in t.pictures] if embed else [] for t in tracklets}
    for tracklet in sorted(tracklets, key=lambda t: -t.weight):
        free = [p for p in people if not any(t.by_frame.keys() & tracklet.by_frame.keys() for t in p)]
        distances = [
            _distance([e for t in person for e in embeddings[id(t)]], embeddings[id(tracklet)]) for person in free
        ]
        near = [k for k, distance in enumerate(distances) if distance < same_person]
        if near:
            free[min(near, key=lambda k: distances[k])].append(tracklet)
        else:
            people.append([tracklet])
    return people


def _distance(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Return the median of the smallest distances of the second's pictures to the first's; 0 without pictures."""
    if not first or not second:
        return 0.0
    return float(np.median([min(float(np.linalg.norm(a - b)) for a in first) for b in second]))
