"""How well face embeddings tell people apart: ``python benchmarks/identity.py --people 200 --videos a.mp4 b.mp4``.

It needs the extras ``offline`` and, for people of the studio, ``studio`` with MakeHuman's assets (docs/studio.md). Each
row of the table is one set of pictures: people whom the studio rendered, two pictures each (other light, wall, head
pose and expression); the bundled actors; filmed people. Columns:

- same, others: the distance (or cosine) of two pictures of one person, and of two people: median, and the quantile that
  lies nearest to the other column (95 % or 5 %);
- at 0.6: the shares of pairs of one person that are taken for two, and of pairs of two people that are taken for one;
- best: the threshold with the smallest sum of both shares, and these shares.

With ``--keep FILE`` the embeddings are written to a file, and read again instead of the pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_bench.metrics.batch import Batch
from emo_bench.metrics.detectors import open_detector
from emo_bench.metrics.identity import DlibResNet
from emo_bench.tracking.face_embedding import SAME_PERSON

Floats = NDArray[np.float64]
# How many pictures of each filmed person, and of each person of the studio.
FRAMES, VIEWS = 40, 2
ACTORS = ("1", "2", "3", "4")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200, help="people of the studio, 0 for none")
    parser.add_argument("--size", type=int, default=192, help="side of the studio's pictures")
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="videos, each of another person")
    parser.add_argument("--keep", type=Path, help="the file of embeddings")
    arguments = parser.parse_args()
    sets: dict[str, Callable[[], Iterator[tuple[int, Floats]]]] = {
        "bundled actors": bundled,
        "filmed people": lambda: filmed(arguments.videos),
        "people of the studio": lambda: rendered(arguments.people, arguments.size),
    }
    kept = dict(np.load(arguments.keep)) if arguments.keep and arguments.keep.exists() else {}
    print("| pictures | people | faces | measure | same | others | at 0.6 | best |")
    print("|---|---|---|---|---|---|---|---|")
    for name, make in sets.items():
        if name not in kept:
            found = list(make())
            if not found:
                continue
            kept[name] = np.array([[person, *embedding] for person, embedding in found])
            if arguments.keep:
                np.savez(arguments.keep, **kept)
        people, embeddings = kept[name][:, 0], kept[name][:, 1:]
        print_rows(name, people, embeddings)


def print_rows(name: str, people: Floats, embeddings: Floats) -> None:
    first, second = np.triu_indices(len(people), 1)
    same = people[first] == people[second]
    apart = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (unit[first] * unit[second]).sum(axis=1)
    head = f"| {name} | {len(np.unique(people))} | {len(people)}"
    errors = f"{(apart[same] >= SAME_PERSON).mean():.1%} and {(apart[~same] < SAME_PERSON).mean():.1%}"
    for measure, values, sign in (("distance", apart, 1.0), ("cosine", cosines, -1.0)):
        of_same, of_others = sign * values[same], sign * values[~same]
        spans = [
            f"{sign * np.median(part):.3f}, {sign * np.quantile(part, edge):.3f}"
            for part, edge in ((of_same, 0.95), (of_others, 0.05))
        ]
        threshold, refused, taken = best_threshold(of_same, of_others)
        best = f"{sign * threshold:.3f}: {refused:.1%} and {taken:.1%}"
        cells = [measure, *spans, errors if measure == "distance" else "-", best]
        print(f"{head} | {' | '.join(cells)} |", flush=True)


def best_threshold(same: Floats, others: Floats) -> tuple[float, float, float]:
    """Return the threshold with the smallest sum of errors, and the shares of same above and of others below it."""
    values = np.sort(np.concatenate([same, others]))
    middles = (values[1:] + values[:-1]) / 2
    refused = 1 - np.searchsorted(np.sort(same), middles) / len(same)
    taken = np.searchsorted(np.sort(others), middles) / len(others)
    # If several thresholds are equally good, the middle one counts.
    least = np.flatnonzero(np.isclose(refused + taken, (refused + taken).min()))
    chosen = least[len(least) // 2]
    return float(middles[chosen]), float(refused[chosen]), float(taken[chosen])


def embedded(pictures: NDArray[np.uint8], person: int) -> Iterator[tuple[int, Floats]]:
    """Give the embedding of every picture ``[N, S, S, 3]`` in which a face is found."""
    embedder = DlibResNet()
    faces = open_detector("mediapipe").faces(Batch(pictures), "frames")
    for picture, face in zip(pictures, faces, strict=True):
        if face is not None:
            yield person, embedder.embed(picture, face.landmarks68)


def bundled() -> Iterator[tuple[int, Floats]]:
    from emo_bench.actors import load

    for person, name in enumerate(ACTORS):
        capture = load(name)
        chosen = np.linspace(0, len(capture) - 1, FRAMES).astype(int)
        yield from embedded(np.stack(list(capture.frames(chosen, size=256))), person)


def filmed(videos: list[Path]) -> Iterator[tuple[int, Floats]]:
    from emo_bench.video.reading import decode_video, probe_video

    for person, video in enumerate(videos):
        info = probe_video(video)
        chosen = {int(i) for i in np.linspace(0, info.frames - 1, FRAMES)}
        frames = [frame for i, frame in enumerate(decode_video(info)) if i in chosen]
        yield from embedded(np.stack(frames), person)


def rendered(people: int, size_px: int) -> Iterator[tuple[int, Floats]]:
    from factory.studio.supply import render_person

    for person in range(people):
        yield from embedded(render_person(person, size_px, VIEWS)[0], person)


if __name__ == "__main__":
    main()
