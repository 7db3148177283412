"""The one writer of videos: numbers of frames, memory and files, what it refuses."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from emo_bench.video.writing import H264, LOSSLESS, VideoWriter, write_video

RNG = np.random.default_rng(0)


def test_a_frame_stands_at_the_number_that_it_was_given(tmp_path: Path) -> None:
    frames = RNG.integers(0, 256, (3, 16, 18, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "v.mkv", LOSSLESS, 25) as writer:
        for frame, at in zip(frames, (0, 7, 9), strict=True):
            writer.write(frame, at=at)
    assert writer.count == 3
    with av.open(str(tmp_path / "v.mkv")) as container:
        read = list(container.decode(video=0))
    assert [round(float(frame.pts * frame.time_base) * 25) for frame in read] == [0, 7, 9]
    np.testing.assert_array_equal([frame.to_ndarray(format="rgb24") for frame in read], frames)


def test_memory_holds_what_a_file_holds(tmp_path: Path) -> None:
    frames = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    memory = io.BytesIO()
    write_video(memory, frames, H264, Fraction(30000, 1001))
    write_video(tmp_path / "v.mp4", frames, H264, 30000 / 1001)
    assert memory.getvalue() == (tmp_path / "v.mp4").read_bytes()
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (np.zeros((16, 18, 3), np.uint8), r"frame 1 is uint8 \(16, 18, 3\), not uint8 \(16, 16, 3\)"),
        (np.zeros((16, 16, 3), np.float32), "frame 1 is float32"),
    ],
)
def test_another_size_or_type_is_refused_and_leaves_the_old_file(second: np.ndarray, said: str, tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    file.write_bytes(b"old")
    with pytest.raises(ValueError, match=said):
        write_video(file, [np.zeros((16, 16, 3), np.uint8), second], H264, 25)
    with pytest.raises(ValueError, match="no frame"):
        write_video(file, [], H264, 25)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.mp4"] and file.read_bytes() == b"old"
