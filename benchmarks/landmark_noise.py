"""How far landmarks are from the true ones, per frame, by MediaPipe's video mode, and smoothed without a delay.

    python benchmarks/landmark_noise.py

uses the bundled actors, whose landmarks are exact. A constant difference of each landmark does not count, since the
tracker fits it. docs/tracking.md has the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from emo_bench.actors import load
from emo_bench.assets import require
from emo_bench.tracking.fit_motion import smooth
from emo_bench.tracking.landmarks import ASSET, PIXEL_CENTER, Landmarker, inter_ocular_px

WINDOWS_S = (0.014, 0.02, 0.028, 0.04, 0.06)
LIPS = (0, 13, 14, 17, 78, 308)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", nargs="+", default=["1", "2", "3", "4"])
    parser.add_argument("--frames", type=int, default=300, help="frames of each actor, from frame 100 on")
    options = parser.parse_args()
    print("errors in percent of the distance between the outer eye corners, root mean square")
    print(f"{'':32}{'all':>8}{'lips':>8}{'shake':>8}   (shake: mean second difference)")
    rows: dict[str, list[np.ndarray]] = {}
    for actor in options.actors:
        for name, row in measure(actor, options.frames).items():
            rows.setdefault(name, []).append(row)
    for name, several in rows.items():
        print(f"{name:32}" + "".join(f"{value:8.3f}" for value in np.mean(several, axis=0)))


def measure(actor: str, count: int) -> dict[str, np.ndarray]:
    """Return error over all landmarks, error over lips, and shake, by the way in which the landmarks were found."""
    capture = load(actor)
    numbers = list(range(100, 100 + count))
    frames = list(capture.frames(numbers))
    truth = np.asarray(capture.track.landmarks478[numbers], dtype=np.float64)
    eyes = float(inter_ocular_px(truth).mean())

    def row(landmarks: np.ndarray) -> np.ndarray:
        error = landmarks - truth
        error -= error.mean(axis=0)
        second = landmarks[2:] - 2.0 * landmarks[1:-1] + landmarks[:-2]
        rms = [float(np.sqrt((part**2).sum(axis=-1).mean())) for part in (error, error[:, LIPS])]
        return 100.0 / eyes * np.array([*rms, float(np.linalg.norm(second, axis=-1).mean())])

    with Landmarker() as landmarker:
        alone = np.stack([face.landmarks478 for frame in frames if (face := landmarker.detect(frame)) is not None])
    if len(alone) != count:
        raise SystemExit(f"actor {actor}: no face in {count - len(alone)} frames")
    rows = {
        "the true landmarks": row(truth),
        "per frame": row(alone),
        "MediaPipe's video mode": row(_video_mode(frames, float(capture.fps))),
    }
    for window_s in WINDOWS_S:
        still = smooth(alone.astype(np.float64), np.arange(count), window_s * float(capture.fps))
        rows[f"per frame, smoothed by {window_s:g} s"] = row(still)
    return rows


def _video_mode(frames: Sequence[np.ndarray], fps: float) -> np.ndarray:
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=require(ASSET).path.read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=1,
    )
    found = []
    with vision.FaceLandmarker.create_from_options(options) as model:
        for number, frame in enumerate(frames):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
            (points,) = model.detect_for_video(image, round(1000 * number / fps)).face_landmarks
            size = np.array(frame.shape[1::-1], dtype=np.float64)
            found.append(np.array([(p.x, p.y) for p in points]) * size + PIXEL_CENTER)
    return np.stack(found)


if __name__ == "__main__":
    main()
