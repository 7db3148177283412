"""Lossless video: every bit comes back, against the frames and against another decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emo_bench.errors import UserError
from emo_bench.video.lossless import FrameDigest, read_lossless, write_lossless

clips = st.tuples(st.integers(1, 6), st.integers(16, 40), st.integers(16, 40)).flatmap(
    lambda size: arrays(np.uint8, (*size, 3), elements=st.integers(0, 255), fill=st.integers(0, 255))
)


@settings(max_examples=25, deadline=None)
@given(clips)
def test_every_bit_comes_back(tmp_path_factory: pytest.TempPathFactory, clip: np.ndarray) -> None:
    file = tmp_path_factory.mktemp("clip") / "clip.mkv"
    count, sha256 = write_lossless(file, iter(clip))
    back = list(read_lossless(file))
    np.testing.assert_array_equal(np.stack(back), clip)
    digest = FrameDigest()
    for frame in back:
        digest.add(frame)
    assert (count, sha256) == (len(clip), digest.hexdigest())
    assert not file.with_name("clip.mkv.part").exists()


def test_frames_in_any_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    write_lossless(tmp_path / "clip.mkv", clip)
    wanted = [59, 0, 0, 30, 29, 31, *rng.integers(0, 60, 20).tolist()]
    np.testing.assert_array_equal(np.stack(list(read_lossless(tmp_path / "clip.mkv", wanted))), clip[wanted])


def test_it_is_ffv1_rgb(tmp_path: Path) -> None:
    write_lossless(tmp_path / "clip.mkv", np.zeros((2, 16, 16, 3), dtype=np.uint8))
    with av.open(str(tmp_path / "clip.mkv")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("ffv1", "bgr0")


def test_another_decoder_reads_the_same_bits(tmp_path: Path) -> None:
    clip = np.random.default_rng(1).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)
    write_lossless(tmp_path / "clip.mkv", clip)
    reader = cv2.VideoCapture(str(tmp_path / "clip.mkv"))
    frames = [reader.read()[1][..., ::-1] for _ in clip]
    assert not reader.read()[0]
    np.testing.assert_array_equal(np.stack(frames), clip)


def test_frames_of_two_sizes_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    frames = [np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)]
    with pytest.raises(ValueError, match="frame 1"):
        write_lossless(tmp_path / "clip.mkv", frames)
    with pytest.raises(ValueError, match="no frame"):
        write_lossless(tmp_path / "clip.mkv", [])
    assert not list(tmp_path.iterdir())


def test_frames_that_break_off_leave_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "clip.mkv"
    clip = np.zeros((2, 16, 16, 3), np.uint8)
    write_lossless(file, clip)

    def too_few() -> Iterator[np.ndarray]:
        yield clip[0] + 9
        raise UserError("1 frame; 2 were asked for")

    with pytest.raises(UserError, match="2 were asked for"):
        write_lossless(file, too_few())
    assert list(tmp_path.iterdir()) == [file]
    np.testing.assert_array_equal(np.stack(list(read_lossless(file))), clip)


def test_a_damaged_or_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "clip.mkv"
    with pytest.raises(UserError, match="is missing"):
        next(read_lossless(file))
    write_lossless(file, np.zeros((3, 16, 16, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="no frame 3"):
        list(read_lossless(file, [3]))
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read"):
        next(read_lossless(file))
